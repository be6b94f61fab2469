"""A training script's flags, as its own parser tells them: read in a process that ends.

The process is the one that `serin train MODEL --help` starts; it needs none of a script's packages.
"""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from controlplane.console.sources.answer import MALFORMED, SourceError
from controlplane.console.sources.cluster import Object

SECONDS = 60.0
LEFT_OUT = "output"
"""A Job publishes."""
_ROOT = Path(__file__).parents[3]
_MISUSED = 2


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag, without its hyphens."""

    name: str
    help: str
    alone: bool
    """Whether it has no value."""
    required: bool
    choices: tuple[str, ...]

    @property
    def default(self) -> str:
        """What holds without it, as its help says; empty where that does not say."""
        return self.help.partition("(default: ")[2].partition(")")[0].partition(";")[0]


async def flags(job: Object) -> list[Flag]:
    """Those of a Job's script, with the defaults that the Job's variables give.

    Raises:
        SourceError: The script does not tell them.
    """
    code, out, err = await _outline(job, ["--flags"], [])
    try:
        if code:
            raise ValueError(err)
        return [
            Flag(
                str(entry["flag"]),
                str(entry["help"]),
                entry["alone"] is True,
                entry["required"] is True,
                tuple(map(str, entry["choices"])),
            )
            for entry in json.loads(out)
            if entry["flag"] != LEFT_OUT
        ]
    except MALFORMED as error:
        last = err.strip().rpartition("\n")[2][:300]
        raise SourceError(f"The script does not tell its flags: {last or 'no list'}.") from error


async def refusal(job: Object, arguments: Sequence[str]) -> str:
    """What a Job's script says to arguments that make no sense; empty where they do.

    Raises:
        SourceError: The script does not tell.
    """
    code, _, err = await _outline(job, [], arguments)
    return err.strip()[:600] if code == _MISUSED else ""


async def _outline(
    job: Object, options: Sequence[str], arguments: Sequence[str]
) -> tuple[int, str, str]:
    """Exit code and output of scripts.verbs.outline."""
    container = job["spec"]["template"]["spec"]["containers"][0]
    module = str(container["command"][-1])
    given = {
        entry["name"]: str(entry["value"])
        for entry in container.get("env") or ()
        if "value" in entry
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "scripts.verbs.outline", *options, module, *arguments),
        env={**os.environ, **given, "PYTHONPATH": str(_ROOT)},
        cwd=_ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate()
    except TimeoutError as error:
        raise SourceError(f"{module} did not tell its flags in {SECONDS:g} s.") from error
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode or 0, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
