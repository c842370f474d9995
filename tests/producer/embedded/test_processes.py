"""Other processes by their id."""

from __future__ import annotations

import os
import subprocess
import sys

from fixtures.valkey import wait_for
from reelmill_producer.embedded.processes import start_of


def test_a_process_keeps_its_start_until_it_has_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        started = start_of(child.pid)
        again = start_of(child.pid)
        child.kill()
        wait_for(lambda: not start_of(child.pid), what="the child's end, though nobody has reaped it")

    assert 0 < start_of(os.getpid()) <= started == again
