"""A time as people read it."""


def milliseconds(seconds: float | None) -> str:
    """Three digits, or a dash."""
    if seconds is None:
        return "–"
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
