"""The packages that one model needs beside the base ones, installed when they are first needed.

requirements/train-<model>.txt is for training it, requirements/serve-<model>.txt for serving it; a
model without such a file needs nothing more. Models that need the same have links to one file,
such as torch.txt. The images are built by the same rule.
"""

import subprocess
from collections.abc import Iterable
from pathlib import Path

from controlplane.errors import SerinError

ROOT = Path(__file__).parents[1]


def install(parts: Iterable[str]) -> None:
    """Install those of the parts that there are, with pip's output on stderr.

    Raises:
        SerinError: One could not be installed; pip has said why.
    """
    wanted = existing(parts)
    command = [str(ROOT / "serin"), "install", "--quiet", *wanted]
    if wanted and subprocess.run(command, check=False).returncode:
        raise SerinError(
            f"The packages of {', '.join(wanted)} could not be installed; pip says why above. Once "
            "that is solved, run this again."
        )


def installing(part: str, command: list[str]) -> list[str]:
    """The command, with the installation of a part before it if there is one."""
    wanted = existing([part])
    if not wanted:
        return command
    script = '"$0" install --quiet "$1" && shift && exec "$@"'
    return ["/bin/sh", "-c", script, str(ROOT / "serin"), *wanted, *command]


def of_models() -> list[str]:
    """What training, fine-tuning and serving every model needs."""
    folder, kinds = ROOT / "requirements", ("train", "finetune", "serve")
    return sorted(path.stem for kind in kinds for path in folder.glob(f"{kind}-*.txt"))


def existing(parts: Iterable[str]) -> list[str]:
    """Those of the parts that have a file."""
    return [part for part in parts if (ROOT / "requirements" / f"{part}.txt").exists()]
