"""The last state of a training run, kept beside the versions, so that a killed run goes on.

    s3://models/<model>/checkpoints/<run>/{<step>.pt, LATEST.json}

LATEST.json is written after the state that it names, and the state before it is removed after that:
whenever the trainer dies, what LATEST.json names is whole. A run is named by a hash of all that
decides its result (data, settings, code), so that nobody goes on with another's state, and two
trainers of one run write the same bytes. The registry takes none of it for a version: those are
named by their MANIFEST.json.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from typing import Any

import torch

from training.publish.registry import Registry

_LATEST = "LATEST.json"


class Checkpoints:
    """Of one run of one model."""

    def __init__(self, registry: Registry, model: str, decides: Mapping[str, Any]) -> None:
        """`decides`: all that the run's result depends on, as JSON can write it."""
        written = json.dumps(decides, sort_keys=True).encode()
        self.run = hashlib.sha256(written).hexdigest()[:12]
        self._registry = registry
        self._prefix = f"{model}/checkpoints/{self.run}/"

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """Keep the state after `step` steps, in place of the one before.

        Args:
            step: steps done.
            state: tensors and plain values, in dicts and lists.

        Raises:
            StoreError: the store did not take it; the one before is still there.
        """
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        body = buffer.getvalue()
        older = self._registry.keys(self._prefix)
        key = f"{self._prefix}{step:08d}.pt"
        latest = {"key": key, "sha256": hashlib.sha256(body).hexdigest(), "step": step}
        self._registry.put(key, body)
        self._registry.put(f"{self._prefix}{_LATEST}", json.dumps(latest).encode())
        self._registry.delete([one for one in older if one.endswith(".pt") and one != key])

    def load(self) -> dict[str, Any] | None:
        """The last state, None where there is none, or none that is whole.

        Raises:
            StoreError: the store could not be asked.
        """
        raw = self._registry.get(f"{self._prefix}{_LATEST}")
        if raw is None:
            return None
        latest = json.loads(raw)
        body = self._registry.get(latest["key"])
        if body is None or hashlib.sha256(body).hexdigest() != latest["sha256"]:
            return None
        state: dict[str, Any] = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
        return state

    def clear(self) -> None:
        """Remove what is there of this run: LATEST.json first, so that nothing half is named.

        Raises:
            StoreError: the store did not do it.
        """
        keys = self._registry.keys(self._prefix)
        self._registry.delete(sorted(keys, key=lambda key: not key.endswith(_LATEST)))
