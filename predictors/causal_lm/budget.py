"""What the operator allows: tokens a row may have, and memory for prompts that begin alike."""

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from predictors.runtime import ArtifactError

DEFAULT, LEAST, MOST = 256, 16, 8192


class Budget(BaseSettings):
    """Variables of the predictor's environment."""

    model_config = SettingsConfigDict(extra="ignore")

    max_total_tokens: int = Field(default=DEFAULT, ge=LEAST, le=MOST)
    prefix_cache_mb: int = Field(default=32, ge=0)

    @classmethod
    def read(cls) -> "Budget":
        """Read the environment.

        Raises:
            ArtifactError: a variable is no whole number in its range.
        """
        try:
            return cls()
        except ValidationError as error:
            (fault, *_) = error.errors()
            name = str(fault["loc"][0]).upper()
            raise ArtifactError(f"{name}: {fault['msg']}, got {fault['input']!r}") from error
