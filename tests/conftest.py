"""Shared fixtures live in `fixtures/`, one module per server or thing that tests need."""

from importlib.util import find_spec

pytest_plugins = [
    name
    for name in (
        "fixtures.valkey",
        "fixtures.s3",
        "fixtures.model",
        "fixtures.hub",
        "fixtures.farm",
        "fixtures.bench",
        "fixtures.prometheus",
        "fixtures.browser",
    )
    if find_spec(name)
]
