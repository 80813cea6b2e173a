"""Errors that are no defects: the user's, whose message says what is wrong, where, and what to do; and divergence."""


class UserError(Exception):
    """Wrong input or surroundings. Shown as its sentence alone, never as a traceback."""


def sentence(error: Exception) -> str:
    """The first line of a configuration error with its cause's: Hydra and OmegaConf put the reason in either."""
    causes = [error, error.__cause__] if error.__cause__ else [error]
    lines = [str(cause).strip().splitlines() for cause in causes]
    return ": ".join(text[0].rstrip(". ") for text in lines if text)


class Diverged(Exception):
    """A run's loss is no longer finite."""


class RankLost(Exception):
    """One of the processes that train a run together has ended; the run can go on from its checkpoint."""
