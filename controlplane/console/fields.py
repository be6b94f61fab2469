"""What a form sends."""

from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request

from controlplane.console.pages import form

FILES, FORM_FIELDS = 4, 200


async def fields(request: Request) -> dict[str, Any]:
    """A form's fields; files as bytes."""
    given: dict[str, Any] = {}
    async with request.form(
        max_files=FILES, max_fields=FORM_FIELDS, max_part_size=form.IMAGE_BYTES
    ) as filled:
        for key, value in filled.multi_items():
            if isinstance(value, UploadFile):
                given[f"{key}"] = await value.read(form.IMAGE_BYTES + 1)
            else:
                given[key] = value
    return given
