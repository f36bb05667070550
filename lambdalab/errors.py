"""The one exception that means: the caller's input was wrong."""


class UserError(ValueError):
    """A mistake in what a user passed: a parameter, a file, a checkpoint, a dataset, a shape.

    Its message is one line that says what was wrong, what is allowed and what to do. The command line prints it
    without a traceback and exits with 2; everything else that is raised is a defect of lambdalab.
    """


def did_you_mean(name: str, allowed: list[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest allowed name, or an empty string if none is close."""
    from difflib import get_close_matches

    close = get_close_matches(name, allowed, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
