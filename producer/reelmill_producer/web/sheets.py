"""Sheets: the contact sheet of a batch with links into the API, and the policy that lets its own script run."""

from __future__ import annotations

from urllib.parse import quote

from reelmill_common.report.facts import Report
from reelmill_common.report.page import content_policy, page


def sheet_of(report: Report) -> tuple[str, str]:
    """Return the page of a report and its content security policy.

    Its links are relative to `batches/{batch}/report`, so that the browser's session opens them.
    """
    links: dict[str, str] = {}
    for entry in report.entries:
        if entry.key:
            row = quote(entry.row)
            links[entry.key] = f"clips/{row}"
            links[entry.poster_key] = f"clips/{row}/poster"
            links[entry.manifest_key] = f"jobs/{row}/recipe"
    return page(report, link=links.__getitem__), f"{content_policy()}; frame-ancestors 'none'"
