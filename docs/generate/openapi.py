"""The OpenAPI document of the console, made from its routes."""

from __future__ import annotations

import json
from pathlib import Path

from reelmill_common.settings import Settings
from reelmill_producer.web.app import make_app

PATH = Path("docs/openapi.json")


def render() -> str:
    """Return the document."""
    return json.dumps(make_app(Settings()).openapi(), indent=1, ensure_ascii=False) + "\n"
