"""Expected errors: mistakes of the user, divergence, and a lost process of a run."""


class UserError(Exception):
    """Wrong input or environment. Commands print the message, which says what to do, and no traceback."""


def sentence(error: Exception) -> str:
    """First line of a configuration error and of its cause: Hydra and OmegaConf give the reason in either."""
    causes = [error, error.__cause__] if error.__cause__ else [error]
    lines = [str(cause).strip().splitlines() for cause in causes]
    return ": ".join(text[0].rstrip(". ") for text in lines if text)


class Diverged(Exception):
    """The loss of a run is not finite."""


class RankLost(Exception):
    """A process of a distributed run has ended; the run can resume from its checkpoint."""
