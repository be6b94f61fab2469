"""What schemathesis loads beside the file: a check of ours, for all that it sends."""

from typing import Any

import schemathesis


@schemathesis.check
def is_no_crash(ctx: Any, response: Any, case: Any) -> None:
    """503 and 504 are answers; 500 is a fault of the server."""
    assert response.status_code != 500, response.text
