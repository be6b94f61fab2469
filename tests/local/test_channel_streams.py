"""Streams while their replica switches: two language models that have no letter in common."""

from pathlib import Path

from tests.support import tiny_lm
from tests.support.channel import Hand, version
from tests.support.predictor import running
from tests.support.s3 import S3Server
from tests.support.streams import Streams
from training.publish.registry import Registry

FIRST, SECOND = "abcdefghijklm", "nopqrstuvwxyz"


def test_a_stream_ends_on_the_engine_that_admitted_it(s3: S3Server, tmp_path: Path) -> None:
    """Every stream has the letters of one version, which its events and its header name."""
    registry = Registry(s3.environment)
    folders = [
        tiny_lm.write_artifact(tmp_path / alphabet, alphabet) for alphabet in (FIRST, SECOND)
    ]
    for folder in folders:
        registry.publish(folder, "causal-lm")
    first, second = map(version, folders)
    hand = Hand(registry, "causal-lm")
    hand.begin(first)
    settings = {
        **s3.environment,
        "PREDICTOR_CHANNEL": "s3://models/causal-lm@stable",
        "PREDICTOR_REPLICA": "a",
        "PREDICTOR_DRAIN_SECONDS": "0",
    }
    with running("causal-lm", folders[0], tmp_path / "log", **settings) as predictor:
        with Streams(f"127.0.0.1:{predictor.http_port}", "causal-lm") as streams:
            hand.propose(second)
            hand.wait("a", lambda told: told["prepared"] == 2, "a prepared replica")
            hand.commit()
            hand.wait("a", lambda told: told["generation"] == 2, "the switch")
        assert predictor.stop() == 0
    instant = hand.state["activate_at"]
    assert streams.failures == []
    for stream in streams.seen:
        (answered_by,) = stream.versions
        letters, generation = {first: (FIRST, 1), second: (SECOND, 2)}[answered_by]
        assert len(stream.text) > 100
        assert set(stream.text) <= set(letters), stream.text
        assert stream.generation == generation
    assert {(first,), (second,)} == {stream.versions for stream in streams.seen}
    assert any(stream.begun < instant < stream.ended for stream in streams.seen)
