"""nli beside the same weights in stock kserve with transformers: `python -m scripts.benchmark.nli`.

    ./serin install finetune-nli
    .venv/bin/python -m scripts.benchmark.nli ARTIFACT [--connections 8] [--seconds 5] [--rounds 3]

ARTIFACT is what `python -m training.nli --output ARTIFACT` wrote. Prints JSON; one answer that
differs by more than rounding, and there is none.
"""

import argparse
import http.client
import sys
from pathlib import Path
from typing import Any

from scripts.benchmark.beside_stock import both, compare, post, report
from scripts.benchmark.errors import BenchmarkError

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


def main() -> None:
    """Start both, compare answers, load them in turn, print JSON."""
    parser = argparse.ArgumentParser(description="nli beside stock kserve with transformers")
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()

    def measure() -> dict[str, Any]:
        with both("nli", "stock_kserve_nli.py", args.artifact, ask) as servers:
            one, other = (server.connection() for server in servers)
            off = max(
                abs(a - b)
                for number in range(len(PAIRS))
                for a, b in zip(
                    probabilities(one, number), probabilities(other, number), strict=True
                )
            )
            if not off <= TOLERANCE:
                raise BenchmarkError(f"answers differ by {off:.2g}: not compared")
            compared = compare(servers, args.connections, args.seconds, args.rounds, ask)
        return {"largest_difference": off, "requests": compared}

    report("scripts.benchmark.nli", args.artifact, measure)


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"error: {error.message}")
