"""The command `mcp`: the farm as tools of a language model, on stdin and stdout."""

from __future__ import annotations

from reelmill_common.config.extras import require_extra
from reelmill_producer.cells.placement import served
from reelmill_producer.cli.session import read_settings


def mcp() -> None:
    """Offer the farm as tools to a program that speaks MCP on stdin and stdout.

    The tools submit, check, follow, explain, cancel and list clips, with the rights of this shell's settings.
    `reelmill serve` offers the same at /mcp, to the holders of tokens. Needs the extra reelmill[web].
    """
    require_extra("web", "reelmill mcp")
    from reelmill_producer.web.mcp import serve_stdio  # noqa: PLC0415 - of the extra

    serve_stdio(served(read_settings()))
