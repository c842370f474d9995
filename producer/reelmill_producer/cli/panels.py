"""The headings of `reelmill --help`, and the commands below each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

PANELS: Mapping[str, Sequence[str]] = {
    "Submit": ("submit", "render", "rerender"),
    "Follow": ("watch", "status", "why", "top", "logs"),
    "Results": (
        "results",
        "download",
        "export",
        "show",
        "verify",
        "report",
        "accounts",
        "archive",
        "restore",
        "prune",
        "audit",
    ),
    "Steer": ("cancel", "pause", "resume", "retry", "prioritize", "policy", "owner"),
    "Schedules": ("schedule", "window", "plan"),
    "Farm": ("up", "demo", "worker", "doctor", "provenance", "forgive", "forget", "webhook", "flower", "metrics"),
    "Console": ("serve", "token", "mcp"),
    "Model": ("model",),
}
REST = "Other"
"""Heading of commands that have none above; a test names them."""
