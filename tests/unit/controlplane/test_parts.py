"""Packages of one model: which part it is, and that a command waits for it."""

import subprocess

from controlplane import parts


def test_a_model_without_a_file_of_its_own_needs_nothing() -> None:
    """No installer is started for it."""
    assert parts.existing(["train-iris", "serve-iris"]) == []
    assert parts.installing("train-iris", ["python", "-m", "training.iris"]) == [
        *("python", "-m", "training.iris")
    ]


def test_a_command_runs_once_its_part_is_installed() -> None:
    """In the installer's place: one process, so that signals reach it; arguments as they were."""
    command = ["printf", "%s|", "two words", "$HOME"]
    wrapped = parts.installing("base", command)
    done = subprocess.run(wrapped, capture_output=True, text=True, check=False, timeout=9)

    assert wrapped != command
    assert (done.returncode, done.stdout) == (0, "two words|$HOME|")


def test_all_models_parts_are_found_by_name() -> None:
    """What tests install: links to a shared part too."""
    assert "train-mnist-cnn" in parts.of_models()
    assert "finetune-causal-lm" in parts.of_models()
    kinds = ("train-", "finetune-", "serve-")
    assert all(part.startswith(kinds) for part in parts.of_models())
