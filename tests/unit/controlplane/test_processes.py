import subprocess
import sys
from pathlib import Path

import psutil

from controlplane.local.node.processes import free_ports, kill_tree, rotate, tail


def test_a_long_log_is_cut_while_its_process_writes(tmp_path: Path) -> None:
    """The older lines stay in one neighbour, and the writer goes on at the new end."""
    log = tmp_path / "pod.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"old\n" * 10)
        rotate(log, 20)
        writer.write(b"new\n")
        rotate(log, 20)

    assert log.read_bytes() == b"new\n"
    assert (tmp_path / "pod.log.1").read_bytes() == b"old\n" * 10


def test_free_ports_are_none_that_an_outgoing_connection_takes() -> None:
    """All different, below the kernel's range of outgoing ports and above those people know."""
    ports = free_ports(200)
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("utf-8").split()[0])

    assert len(set(ports)) == 200
    assert all(10_000 <= port < max(first, 10_100) for port in ports)


def test_the_end_of_a_log(tmp_path: Path) -> None:
    """Since a process' start; all of it where the log was cut after that; nothing without a log."""
    log = tmp_path / "pod.log"
    log.write_text("first\nsecond\n", "utf-8")

    assert tail(log, 100, 6) == "second\n"
    assert tail(log, 4, 6) == "ond\n"
    assert tail(log, 100, 99) == "first\nsecond\n"
    assert tail(tmp_path / "none.log", 100) == ""


def test_a_tree_ends_whatever_groups_and_sessions_are_in_it() -> None:
    """Children of children go too, each the leader of a group of its own."""
    code = (
        "import subprocess, sys, time\n"
        "command = [sys.executable, '-c', 'import time; print(flush=True); time.sleep(60)']\n"
        "pipe = subprocess.PIPE\n"
        "child = subprocess.Popen(command, stdout=pipe, start_new_session=True)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout as said:
        child = psutil.Process(int(said.readline()))

    kill_tree(parent.pid)

    assert parent.wait(5) == -9
    assert psutil.wait_procs([child], timeout=5)[1] == []
