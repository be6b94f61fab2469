"""What a storageUri that names a channel means to the platform."""

import asyncio

import pytest

from controlplane.local.intake import versioned
from controlplane.store import channels
from controlplane.store.channels import is_versioned
from controlplane.store.s3 import Store
from predictors.runtime.channel.document import Address, ChannelError

NOWHERE = Store("http://127.0.0.1:1", "key", "secret")


def test_a_channel_says_what_to_serve() -> None:
    """It needs no version, and a model alone still does."""
    assert is_versioned("s3://models/iris@stable")
    assert not is_versioned("s3://models/iris")


def test_applying_a_manifest_again_keeps_the_channel() -> None:
    """What was chosen outlives whoever applies the repository's manifests; no store is asked."""
    kept = asyncio.run(versioned(NOWHERE, "s3://models/iris", "s3://models/iris@stable"))
    assert kept == "s3://models/iris@stable"


@pytest.mark.parametrize(
    "uri", ["s3://models/iris@", "s3://models/iris@Stable", "s3://models/iris", "gs://m/i@stable"]
)
def test_writer_and_replica_agree_on_what_is_no_channel(uri: str) -> None:
    """Both refuse it."""
    assert channels.parsed(uri) is None
    with pytest.raises(ChannelError, match="expected s3://BUCKET/MODEL@NAME"):
        Address.of(uri)


def test_writer_and_replica_agree_on_what_is_one() -> None:
    """Both read the same parts of it."""
    address = Address.of("s3://models/iris@blue-2")
    assert channels.parsed("s3://models/iris@blue-2") == (
        address.bucket,
        address.model,
        address.name,
    )
