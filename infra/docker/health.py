#!/usr/bin/env python3
"""A container's health check: `health worker|ledger|flower|metrics|console`. Exit status 0 or 1, one line why.

It asks the ledger, not Celery: an answer from every worker over the broker costs more than reading what they report.
"""

from __future__ import annotations

import os
import socket
import sys
import urllib.request
from collections.abc import Callable

from reelmill_common.errors import ReelmillError
from reelmill_common.ledger import Ledger
from reelmill_common.ledger.server import PROMPT
from reelmill_common.settings import Settings

SILENT_S = 30.0
"""Seconds without a beat (they come every REELMILL_TICK_S) after which a worker counts as stuck."""


def worker() -> str:
    """Say how this host's workers are; raise unless there is one, and all are fit and report."""
    with Ledger.connect(Settings.from_env(os.environ), patience=PROMPT) as ledger:
        ours = [view for view in ledger.workers.all() if view.name.endswith(f"@{socket.gethostname()}")]
    unfit = [f"{view.name} is {view.state.value}" for view in ours if not view.state.is_fit]
    unfit += [f"{view.name} is silent for {view.seen_s:.0f} s" for view in ours if view.seen_s > SILENT_S]
    if unfit or not ours:
        raise RuntimeError("; ".join(unfit) or f"the ledger knows no worker of {socket.gethostname()}")
    return ", ".join(view.name for view in ours)


def ledger() -> str:
    """Raise unless the ledger answers."""
    with Ledger.connect(Settings.from_env(os.environ), patience=PROMPT) as found:
        return f"{len(found.batches.all())} batches"


def flower() -> str:
    """Raise unless Flower answers. This page of it needs no password and says nothing."""
    port = os.environ.get("FLOWER_PORT", "5555")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthcheck", timeout=4) as answer:
        return answer.read().decode()


def metrics() -> str:
    """Raise unless the farm's metrics are served, and the ledger answers."""
    port = os.environ.get("METRICS_PORT", "9464")
    token = Settings.from_env(os.environ).metrics_token
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=8) as answer:  # noqa: S310 - the URL is ours
        metrics_text = answer.read().decode()
    if "\nreelmill_ledger_up 1.0" not in metrics_text:
        raise RuntimeError("the metrics are served, but the ledger does not answer")
    return f"{metrics_text.count(chr(10))} lines of metrics"


def console() -> str:
    """Raise unless the console answers, and Redis answers it."""
    settings = Settings.from_env(os.environ)
    host = settings.console_hosts.split(",")[0].replace("*.", "any.") or "localhost"
    url = f"http://127.0.0.1:{settings.console_port}/readyz"
    request = urllib.request.Request(url, headers={"Host": host})
    with urllib.request.urlopen(request, timeout=8) as answer:  # noqa: S310 - the URL is ours
        return answer.read().decode()


CHECKS: dict[str, Callable[[], str]] = {
    "worker": worker,
    "ledger": ledger,
    "flower": flower,
    "metrics": metrics,
    "console": console,
}


def main(args: list[str]) -> int:
    """Run the check of that name."""
    if len(args) != 1 or args[0] not in CHECKS:
        sys.stderr.write(f"usage: health {'|'.join(CHECKS)}\n")
        return 2
    try:
        sys.stdout.write(f"{args[0]}: {CHECKS[args[0]]()}\n")
    except (ReelmillError, RuntimeError, OSError) as err:
        sys.stdout.write(f"{args[0]}: {err}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
