"""The error whose message is meant for the user: what is wrong, where, and what to do about it."""


class UserError(Exception):
    """Wrong input or surroundings. Shown as its sentence alone, never as a traceback."""
