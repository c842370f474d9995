"""Shared fixtures live in `fixtures/`, one module per server or thing that tests need."""

import logging
import os
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
import structlog
from hypothesis import HealthCheck, settings

# Before torch is imported, here and in the workers that tests start: OpenMP's threads spin while they wait for each
# other, which on two shared cores makes a tiny render 20 times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if find_spec("torch"):
    import torch

    if not torch.cuda.is_available():
        # Triton's interpreter runs the kernels; it is read when a kernel is defined, so before any of them is imported.
        os.environ.setdefault("TRITON_INTERPRET", "1")

# A slow machine is not a failure, and every run tries the same examples; `make fuzz` tries others each time.
settings.register_profile(
    "suite",
    deadline=None,
    database=None,
    derandomize="FUZZ_FILES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")

pytest_plugins = [
    name
    for name in (
        "fixtures.valkey",
        "fixtures.redis_users",
        "fixtures.replicas",
        "fixtures.cli",
        "fixtures.embedded",
        "fixtures.hand",
        "fixtures.s3",
        "fixtures.model",
        "fixtures.hub",
        "fixtures.farm",
        "fixtures.bench",
        "fixtures.disk",
        "fixtures.prometheus",
        "fixtures.browser",
        "fixtures.visitor",
        "fixtures.c2pa_reader",
    )
    if find_spec(name)
]

SERVERS = {"valkey_server", "own_valkey", "nanio_server", "seaweed_server", "hub", "browser", "prometheus_programs"}
"""Fixtures that start a server: a test that asks for one, however indirectly, has the marker `services`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        params = getattr(getattr(item, "callspec", None), "params", {}).values()
        servers = (f"{value.partition(' ')[0]}_server" for value in params if isinstance(value, str))
        asked = {*getattr(item, "fixturenames", ()), *servers}
        if SERVERS & asked:
            item.add_marker("services")


@pytest.fixture(autouse=True)
def _logging_restored() -> Iterator[None]:
    """What a command of this process did to logging ends with its test: the next one may look at what is logged."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    _log_plain_tracebacks()


def _log_plain_tracebacks() -> None:
    """Log as the worker does: the default renders local variables, which other threads change meanwhile."""
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], renderer])


_log_plain_tracebacks()
