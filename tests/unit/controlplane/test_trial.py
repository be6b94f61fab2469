from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from controlplane.local.controllers.plan import Backend, Mirror, Route
from controlplane.local.gateway.trial import Element, Trial


def route(name: str, seconds: int = 60) -> Route:
    """A model's route."""
    backend = Backend(f"{name}-predictor", 1)
    return Route(name, (f"{name}.localhost",), (backend,), seconds, f"/v2/models/{name}/ready")


def settle(trial: Trial, wanted: list[Element], bad: set[Element]) -> int:
    """Ask an Envoy that refuses files with something bad, until all is said; how many files."""
    told: tuple[Element, ...] | None = None
    for files in range(200):
        chosen = trial.choose(wanted)
        if chosen == told:
            return files
        told = chosen
        if bad & {*chosen}:
            told = None if trial.rejected(chosen, "no") else told
        else:
            trial.accepted(chosen)
    raise AssertionError("it does not settle")


@given(st.sets(st.integers(0, 39)), st.integers(1, 40))
def test_exactly_what_is_bad_is_refused(bad: set[int], count: int) -> None:
    """All others are taken, however many are bad, in few files where few are."""
    wanted: list[Element] = [route(f"m{place}") for place in range(count)]
    refused = {one for place, one in enumerate(wanted) if place in bad}
    trial = Trial()

    files = settle(trial, wanted, refused)

    assert {*trial.refused} == refused
    assert {*trial.had} == {*wanted} - refused
    assert not list(trial.pending(wanted))
    assert files <= 3 + 8 * len(refused)


def test_a_model_keeps_the_route_that_it_had() -> None:
    """A bad change of one leaves it as it was, to the pods of now; the others' changes are made."""
    trial = Trial()
    settle(trial, [route("a"), route("b")], set())
    backends = (Backend("a-predictor", 50), Backend("a-canary-predictor", 50))
    bad, other = replace(route("a", -1), backends=backends), route("b", 30)

    settle(trial, [bad, other], {bad})

    assert {*trial.had} == {replace(route("a"), backends=backends), other}
    assert [*trial.refused] == [bad]
    settle(trial, [route("a", 5), other], {bad})
    assert {*trial.had} == {route("a", 5), other}
    assert trial.refused == {}


def test_a_bad_mirror_is_taken_out_alone() -> None:
    """Its model goes on without a copy."""
    mirror = Mirror("m", "a", "/x", "http", "a", "b", (("Host", "x"),), 60)
    trial = Trial()

    settle(trial, [route("a"), mirror], {mirror})

    assert trial.had == (route("a"),)
    assert [*trial.refused] == [mirror]
