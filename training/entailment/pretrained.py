"""A Hugging Face model by its name: a folder, a hub id, or a prefix in the S3 store."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.publish.registry import Registry


@contextmanager
def available(name: str) -> Iterator[str]:
    """What `from_pretrained` takes for a name; an s3:// prefix is there for as long as the block.

    Raises:
        StoreError: the store does not answer, or has nothing there.
        SettingsError: s3:// is asked for and the store is not named.
    """
    if not name.startswith("s3://"):
        yield str(Path(name).expanduser()) if Path(name).expanduser().is_dir() else name
        return
    with tempfile.TemporaryDirectory(prefix="serin-pretrained-") as folder:
        Registry().download(name, Path(folder))
        yield folder
