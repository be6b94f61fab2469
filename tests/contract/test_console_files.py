"""What the console sends to browsers: files of others as they were published, nothing inline."""

import hashlib
import re
from pathlib import Path

import pytest

from controlplane.console.render import STATIC
from tests.support.required import ROOT

TEMPLATES = sorted((ROOT / "controlplane" / "console" / "templates").glob("*.html"))
VENDORED = {
    # htmx.org 4.0.1 and uplot 1.6.32 of npm: the files of dist/ in their packages.
    "htmx.min.js": "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}
FIRST_PAGE_BYTES = 100_000


@pytest.mark.parametrize("name", VENDORED)
def test_a_file_of_others_is_the_published_one(name: str) -> None:
    """Byte by byte, with its licence beside it."""
    assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == VENDORED[name]
    assert (STATIC / f"{name.split('.', maxsplit=1)[0]}.LICENSE").stat().st_size > 300


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_nothing_inline_and_escapes_everything(template: Path) -> None:
    """No script, style or handler in the page, no way around escaping, no other host."""
    text = template.read_text("utf-8")

    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|\|\s*safe|autoescape", text)
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)
    assert not re.search(r"""(?:src|href|action)=["'](?:https?:)?//""", text)


def test_the_first_page_is_small() -> None:
    """Scripts and styles that it loads, whole and not compressed."""
    names = ("htmx.min.js", "console.js", "console.css", "icon.svg")

    assert sum((STATIC / name).stat().st_size for name in names) < FIRST_PAGE_BYTES
