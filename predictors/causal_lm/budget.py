"""How many tokens a prompt and its answer may have together: the operator's setting."""

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from predictors.runtime import ArtifactError

DEFAULT, LEAST, MOST = 256, 16, 8192


class _Budget(BaseSettings):
    model_config = SettingsConfigDict(extra="ignore")

    max_total_tokens: int = Field(default=DEFAULT, ge=LEAST, le=MOST)


def max_total_tokens(positions: int) -> int:
    """What MAX_TOTAL_TOKENS says, at most what the model has positions for.

    Raises:
        ArtifactError: it is no whole number in its range.
    """
    try:
        asked = _Budget().max_total_tokens
    except ValidationError as error:
        (fault, *_) = error.errors()
        raise ArtifactError(
            f"MAX_TOTAL_TOKENS: expected a whole number, {LEAST} … {MOST}, got {fault['input']!r}"
        ) from error
    return min(asked, positions)
