import pytest

from training.entailment import options

NUMBERS = ("BATCH_SIZE", "EPOCHS", "LEARNING_RATE", "MAX_LENGTH", "GRADIENT_ACCUMULATION_STEPS")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("given", ["a variable", "a flag"])
def test_a_bad_setting_is_refused_by_its_name(
    name: str, given: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A word in the environment, a zero on the command line: exit 2, and which setting it was."""
    flag = f"--{name.lower().replace('_', '-')}=0"
    monkeypatch.setattr("sys.argv", ["nli", *([flag] if given == "a flag" else [])])
    if given == "a variable":
        monkeypatch.setenv(name, "none")

    with pytest.raises(SystemExit) as ended:
        options.read("Train.")

    assert ended.value.code == 2
    assert f"{name}: expected a" in capsys.readouterr().err
