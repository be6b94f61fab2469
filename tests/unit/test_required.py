from pathlib import Path

import pytest

from tests.support import required

OUTCOMES = (pytest.fail.Exception, pytest.skip.Exception)


@pytest.fixture(autouse=True)
def _laptop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CI", "REQUIRE_REAL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(required, "ROOT", tmp_path / "checkout")


def test_what_is_there_is_given(tmp_path: Path) -> None:
    """A program by its path, data by its folder beside the checkout."""
    folder = tmp_path / "shared" / "data" / "mnist"
    folder.mkdir(parents=True)

    assert required.binary("sh").name == "sh"
    assert required.shared_data("mnist") == folder


@pytest.mark.parametrize(
    ("environment", "binary_fails", "data_fails"),
    [({}, False, False), ({"CI": "true"}, True, False), ({"REQUIRE_REAL": "1"}, True, True)],
    ids=["laptop", "CI", "REQUIRE_REAL"],
)
def test_what_is_missing_skips_or_fails(
    environment: dict[str, str],
    binary_fails: bool,
    data_fails: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A laptop skips with the reason; where everything is meant to be, a skip would hide a hole."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    for ask, fails in [(required.binary, binary_fails), (required.shared_data, data_fails)]:
        with pytest.raises(OUTCOMES, match="no-such-thing") as caught:
            ask("no-such-thing")
        assert (caught.type is pytest.fail.Exception) is fails
