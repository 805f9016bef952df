"""The one exception meant for people: the command line prints its text in one line, without a traceback."""


class TinyfaceError(Exception):
    """Something the user can mend. The text names the file or option and says what to do, in one line."""


class NotFiniteError(TinyfaceError):
    """A weight or an output is NaN or infinite."""
