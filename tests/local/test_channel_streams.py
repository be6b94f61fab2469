"""Streams while their replica switches: two language models that have no letter in common."""

import http.client
import json
import threading
import time
from pathlib import Path

from tests.support import tiny_lm
from tests.support.channel import Hand, version
from tests.support.predictor import JSON, Predictor, running
from tests.support.s3 import S3Server
from training.publish.registry import Registry

FIRST, SECOND = "abcdefghijklm", "nopqrstuvwxyz"
CLIENTS = 4
BODY = json.dumps({"text_input": "the quick brown", "parameters": {"max_tokens": 150}})


class Streams:
    """Clients that read one stream after the other until each began one after the switch."""

    def __init__(self, predictor: Predictor) -> None:
        self.seen: list[tuple[float, float, str, str, int]] = []
        """Of each stream: begun, ended, its versions, its text and its generation."""
        self.over = threading.Event()
        self._port = predictor.http_port
        self.threads = [threading.Thread(target=self._read) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def _read(self) -> None:
        last = False
        while not last:
            last = self.over.is_set()
            begun = time.time()
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
            connection.request("POST", "/v2/models/causal-lm/generate_stream", BODY, JSON)
            answer = connection.getresponse()
            generation = int(answer.headers.get("serin-generation", "0"))
            events = answer.read().decode().split("\n\n")
            connection.close()
            pieces = [json.loads(event.removeprefix("data: ")) for event in events if event]
            text = "".join(piece.get("text_output", "") for piece in pieces)
            versions = " ".join({piece.get("model_version", "none") for piece in pieces})
            self.seen.append((begun, time.time(), versions, text, generation))


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
        streams = Streams(predictor)
        try:
            hand.propose(second)
            hand.wait("a", lambda told: told["prepared"] == 2, "a prepared replica")
            hand.commit()
            hand.wait("a", lambda told: told["generation"] == 2, "the switch")
        finally:
            streams.over.set()
            for thread in streams.threads:
                thread.join(120)
        assert predictor.stop() == 0
    instant = hand.state["activate_at"]
    for _, _, versions, text, generation in streams.seen:
        expected = {first: (FIRST, 1), second: (SECOND, 2)}[versions]
        assert len(text) > 100
        assert set(text) <= set(expected[0]), text
        assert generation == expected[1]
    assert {first, second} == {versions for _, _, versions, _, _ in streams.seen}
    assert any(begun < instant < ended for begun, ended, *_ in streams.seen)
