"""Where the numbers that a process counts are kept."""


class Memory:
    """Where the numbers of one process are: in lists, or in its part of a shared memory."""

    def __init__(self, shared: memoryview | None = None) -> None:
        self._shared = shared

    def integers(self, count: int) -> "list[int] | memoryview[int]":
        """The next `count` integers, all 0 at first."""
        return [0] * count if self._shared is None else self._next(count).cast("q")

    def floats(self, count: int) -> "list[float] | memoryview[float]":
        """The next `count` doubles, all 0 at first."""
        return [0.0] * count if self._shared is None else self._next(count).cast("d")

    def _next(self, count: int) -> memoryview:
        assert self._shared is not None  # noqa: S101 - for the type checker; callers asked
        taken, self._shared = self._shared[: 8 * count], self._shared[8 * count :]
        return taken
