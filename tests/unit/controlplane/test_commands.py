import sys
from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.local.node.commands import is_ours, last_error, predictor
from tests.support.manifests import planned, service

IRIS = planned(service()).deployments[0]


def test_the_containers_command_with_this_machines_folder_and_ports() -> None:
    """Only the model's folder and the ports differ from what a pod runs."""
    assert predictor(IRIS, Path("/state/models/iris/a1"), 5001, 5002) == [
        sys.executable,
        "-m",
        "predictors.iris",
        "--model_name=iris",
        "--model_dir=/state/models/iris/a1",
        "--http_port=5001",
        "--grpc_port=5002",
    ]


@pytest.mark.parametrize(
    ("command", "ours"),
    [
        ((), True),
        (("python", "-m", "predictors.nli"), True),
        (("python", "-m", "mine.server"), False),
        (("python", "-m"), False),
        (("/usr/bin/server",), False),
    ],
)
def test_only_predictors_of_this_repository_are_told_to_leave_at_once(
    command: tuple[str, ...], ours: bool
) -> None:
    """What SIGINT does to another program after SIGTERM, nobody knows."""
    container = replace(IRIS.container, command=command)

    assert is_ours(replace(IRIS, container=container)) is ours


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("", ""),
        ("Segmentation fault\n", "Segmentation fault"),
        ('{"level": "INFO", "event": "serving"}\n', ""),
        (
            '{"level": "ERROR", "event": "model.onnx is corrupt"}\n{"level": "INFO"}\n',
            "model.onnx is corrupt",
        ),
        ("Traceback …\nValueError: no\n", "ValueError: no"),
    ],
)
def test_the_reason_of_an_end_is_the_last_error(log: str, reason: str) -> None:
    """A record at level ERROR wins; without one, the last line that is no record."""
    assert last_error(log) == reason
