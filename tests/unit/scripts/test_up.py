from collections.abc import Iterable

import pytest
from click.testing import CliRunner

from controlplane import parts
from controlplane.errors import SerinError
from scripts.verbs.platform import up


def test_a_wrong_setting_is_refused_before_packages_are_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Packages of a language model take minutes; the word that was wrong is known at once."""
    fetched: list[str] = []

    def install(names: Iterable[str]) -> None:
        fetched.extend(names)

    monkeypatch.setattr(parts, "install", install)
    monkeypatch.setenv("SERIN_PORT", "abc")

    ended = CliRunner().invoke(up.command, ["iris"])

    assert isinstance(ended.exception, SerinError)
    assert str(ended.exception).startswith("SERIN_PORT is 'abc': expected a port")
    assert fetched == []
