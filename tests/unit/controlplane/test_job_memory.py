"""What the laptop remembers of Jobs goes with them."""

from pathlib import Path

from controlplane.local.api.objects import Objects
from controlplane.local.controllers.fence import Fence
from controlplane.local.node.jobs import Jobs
from controlplane.statefolder import Home


def test_the_next_try_of_a_job_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    """Else a platform that runs for long remembers every Job that ever failed."""
    objects = Objects()
    jobs = Jobs(Home(tmp_path), objects, lambda: "", Fence(objects))
    jobs._next["uid of one that was deleted"] = 1.0

    jobs.step()

    assert jobs._next == {}
