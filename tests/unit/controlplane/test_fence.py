import signal
import time

import pytest

from controlplane.local.api.objects import Objects
from controlplane.local.controllers import fence as module
from controlplane.local.controllers.fence import CONDITION, Fence

SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "models"}}


@pytest.fixture
def objects() -> Objects:
    """One Secret."""
    store = Objects()
    store.create(SECRET)
    return store


def secret(objects: Objects) -> dict:
    """It, as it is now."""
    return objects.get("Secret", "models", "a")


def fail() -> int:
    """A step that does not know what it met."""
    raise KeyError("spec")


def test_a_fault_is_told_on_the_object_and_taken_back(objects: Objects) -> None:
    """A condition, one Event and a line of status; a change of the object is tried at once."""
    fence = Fence(objects)

    for _ in range(3):
        assert fence.run("step", secret(objects), fail, 7) == 7
    (condition,) = secret(objects)["status"]["conditions"]
    assert (condition["type"], condition["status"]) == (CONDITION, "False")
    assert condition["message"] == "KeyError: 'spec'"
    (event,) = objects.list_of("Event")
    assert (event["reason"], event["count"]) == ("ReconcileError", 1)
    assert [(one.kind, one.name) for one in fence.faults()] == [("Secret", "a")]

    objects.update({**secret(objects), "data": {"b": ""}})
    assert fence.run("step", secret(objects), lambda: 1, 7) == 1
    assert secret(objects)["status"]["conditions"] == []
    assert fence.faults() == []


def test_a_fault_waits_longer_each_time(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    """1 s, 2 s, 4 s and so on up to a minute, as long as the object stays as it is."""
    fence, tries, clock = Fence(objects), list[float](), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def step() -> int:
        tries.append(clock[0])
        return fail()

    for tenth in range(2000):
        clock[0] = tenth / 10
        fence.run("step", secret(objects), step, 0)
    assert tries == [0, 1, 3, 7, 15, 31, 63, 123, 183]


def test_a_step_that_does_not_end_is_given_up(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It used its processor time up; the clock of others is not touched."""
    monkeypatch.setattr(module, "SECONDS", 0.05)
    fence = Fence(objects)

    def endless() -> int:
        while True:
            pass

    assert fence.run("step", secret(objects), endless, 7) == 7
    assert "processor time" in fence.reason(secret(objects))
    assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] == 0


def test_a_part_of_the_loop_that_fails_is_told_and_no_more(objects: Objects) -> None:
    """The others go on; it is the platform's fault until it goes well."""
    fence = Fence(objects)

    with fence.guard("jobs"):
        fail()
    assert [(one.kind, one.name) for one in fence.faults()] == [("platform", "jobs")]
    with fence.guard("jobs"):
        pass
    assert fence.faults() == []


def test_a_fault_goes_with_its_object(objects: Objects) -> None:
    """What is deleted is not told of any more."""
    fence = Fence(objects)

    fence.run("step", secret(objects), fail, 0)
    objects.delete("Secret", "models", "a")
    assert fence.faults() == []
