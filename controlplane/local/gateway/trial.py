"""Which routes Envoy has and which it refuses. Pure.

Envoy takes a file of routes as a whole or not at all, and does not say whose route was at fault. A
file that it refuses is tried again with half of what was new in it, until one route is alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from controlplane.local.controllers.plan import Keys, Mirror, Route

Element = Route | Mirror
CLOSED = Keys(refused="Envoy refuses its keys")


class Trial:
    """What was told to Envoy, and what became of it."""

    def __init__(self) -> None:
        self.had: tuple[Element, ...] = ()
        """What Envoy routes by now."""
        self.refused: dict[Element, str] = {}
        """What it does not take → its words."""
        self._suspects: tuple[Element, ...] = ()
        """New routes of a file that was refused: one of them is at fault, or several."""

    def choose(self, wanted: Sequence[Element]) -> tuple[Element, ...]:
        """What the next file is to hold.

        Instead of a route that is refused, or that has to wait, its model keeps the one it had.
        """
        self.refused = {one: said for one, said in self.refused.items() if one in wanted}
        suspects = [one for one in self._suspects if one in wanted]
        tried = suspects[: max(len(suspects) // 2, 1)] if suspects else wanted
        chosen: list[Element] = []
        for one in wanted:
            if one in self.had or (one in tried and one not in self.refused):
                chosen.append(one)
            else:
                chosen += self._instead(one)
        return tuple(dict.fromkeys(chosen))

    def accepted(self, tried: Iterable[Element]) -> None:
        """Envoy has taken a file."""
        self.had = tuple(tried)
        self._suspects = tuple(one for one in self._suspects if one not in self.had)

    def rejected(self, tried: Iterable[Element], said: str) -> bool:
        """Envoy has refused a file, and goes on with the one before.

        Returns:
            Whether there is something else to try; False where nothing in it was new.
        """
        new = [one for one in tried if one not in self.had]
        self._suspects = tuple(new)
        if len(new) == 1:
            self.refused[new[0]] = said
            self._suspects = ()
        return bool(new)

    def pending(self, wanted: Iterable[Element]) -> Iterator[Element]:
        """What Envoy has said nothing about yet."""
        return (one for one in wanted if one not in self.had and one not in self.refused)

    def _instead(self, wanted: Element) -> Iterator[Element]:
        for old in self.had:
            if isinstance(wanted, Route):
                if isinstance(old, Route) and old.service == wanted.service:
                    # To the pods that there are now; those that the old one named may be gone.
                    keys = old.keys
                    if wanted in self.refused and wanted.keys != keys:
                        keys = CLOSED  # nobody enters who may not
                    yield replace(old, backends=wanted.backends, keys=keys)
            elif isinstance(old, Mirror) and (old.route, old.path) == (wanted.route, wanted.path):
                yield old
