"""nli beside the same weights in stock KServe with transformers: `serin bench --models nli`.

One answer that differs by more than rounding, and there is no result.
"""

import http.client
from pathlib import Path
from typing import Any

from scripts.benchmark.beside_stock import both, compare, post
from scripts.benchmark.errors import BenchmarkError
from scripts.benchmark.texts import Asked

TOLERANCE = 0.1  # of a probability: matrices have 8 bits here and 32 there
SUBJECTS = (  # what people write, by length
    "A man is walking in the garden.",
    "Four goats are lying down in the office at night.",
    "You can see two teachers running on the beach in the morning.",
    "It was not only the weather, they said, which had kept them from going home before noon.",
)
PAIRS = [(premise, hypothesis) for premise in SUBJECTS for hypothesis in SUBJECTS]


def probabilities(connection: http.client.HTTPConnection, number: int) -> list[float]:
    """What a server says of one pair."""
    pair = PAIRS[number % len(PAIRS)]
    inputs = [
        {"name": name, "datatype": "BYTES", "shape": [1], "data": [text]}
        for name, text in zip(("premise", "hypothesis"), pair, strict=True)
    ]
    answer = post(connection, "/v2/models/nli/infer", {"inputs": inputs})
    (found,) = (one["data"] for one in answer["outputs"] if one["shape"] == [1, 3])
    return list(found)


def ask(connection: http.client.HTTPConnection, number: int) -> int:
    """One pair, answered."""
    probabilities(connection, number)
    return 1


def measured(artifact: Path, asked: Asked) -> dict[str, Any]:
    """Start both, compare answers, load them in turn."""
    with both("nli", "stock_kserve_nli.py", artifact, ask) as servers:
        one, other = (server.connection() for server in servers)
        off = max(
            abs(a - b)
            for number in range(len(PAIRS))
            for a, b in zip(probabilities(one, number), probabilities(other, number), strict=True)
        )
        if not off <= TOLERANCE:
            raise BenchmarkError(f"answers differ by {off:.2g}: not compared")
        compared = [
            compare(servers, count, asked.seconds, asked.rounds, ask) for count in asked.connections
        ]
    return {"largest_difference": off, "requests": compared}
