"""Why a model of this platform cannot be asked."""

import pytest

from controlplane.errors import SerinError
from scripts.client import asked


def state(**model: object) -> dict[str, object]:
    """A platform with one model, iris."""
    known = {"state": "Ready", "reason": "", "replicas_ready": 0}
    return {"models": {"iris": {**known, **model}}}


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (state(state="Training"), "iris is not ready: Training. See: ./serin status"),
        (
            state(state="Failed", reason="version 1f2e does not start"),
            "iris is not ready: Failed (version 1f2e does not start). See: ./serin status",
        ),
        (state(state="Ready"), "None"),  # at no replicas: the gateway wakes it
        (state(state="Updating", replicas_ready=1), "None"),
        ({}, "None"),  # another gateway, of which nothing is known
    ],
)
def test_a_model_that_is_not_ready_says_what_it_waits_for(
    now: dict[str, object], said: str
) -> None:
    """One that answers, whatever else goes on, is not refused."""
    assert str(asked.refused("iris", now)) == said


def test_a_model_that_never_was_is_another_thing() -> None:
    """It is misuse, and says what may be meant."""
    error = asked.refused("irs", state())

    assert error is not None
    assert error.exit_code == 2
    assert "Did you mean iris?" in str(error)


def test_a_platform_that_only_starts_is_no_riddle(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no gateway yet, so nothing can be asked."""
    monkeypatch.setattr("controlplane.local.client.status", lambda _home: {})

    with pytest.raises(SerinError, match="is starting, or stopping"):
        asked.platform(None, "iris")
