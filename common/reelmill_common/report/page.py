"""A report as a contact sheet: one self-contained HTML page that shows the clips from the store."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from urllib.parse import quote

from reelmill_common.jobs import JobState
from reelmill_common.prices import energy_text
from reelmill_common.profiles import TINY, TINY_NOTE
from reelmill_common.report.facts import Entry, Report
from reelmill_common.report.summary import mark_text, marks_text, span

Link = Callable[[str], str]
"""Turns an object key into a link of the page."""


def page(report: Report, *, link: Link, links_until: float | None = None) -> str:
    """Return the page. Untrusted text (prompts, messages, names) is escaped, and no foreign script runs.

    Args:
        report: The report.
        link: Turns a key into a link: `relative`, or `ClipStore.url`.
        links_until: Unix seconds at which its links expire, if they do.
    """
    style, script = _asset("sheet.css"), _asset("sheet.js")
    title = escape(f"{report.batch}: {report.stored:,} of {report.total:,} clips")
    clips = "\n".join(_figure(entry, link) for entry in report.entries)
    head = (
        '<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_policy(style, script))}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{title}</title>\n<style>{style}</style>"
    )
    left = report.total - len(report.entries)
    more = (
        f" {left:,} more jobs are counted and not shown; `reelmill export {report.batch}` lists all."
        if left > 0
        else ""
    )
    until = (
        "" if links_until is None else f" Its links expire {_time_text(links_until)}; `reelmill report` makes new ones."
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n'
        f"{_note(report)}<dl>{''.join(_facts(report))}</dl>\n{_causes(report)}</header>\n{_form(report)}\n<main>\n{clips}\n</main>\n"
        f"<footer>Made {_time_text(report.made_at)} by Reelmill.{until}{more}</footer>\n"
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def relative(key: str, *, root: str = "../../") -> str:
    """Return a link relative to the page, which works in a folder and in a public bucket and does not expire.

    Args:
        key: Object key.
        root: Path from the page to the store's root, here from `reports/{batch}/sheet.html`.
    """
    return quote(f"{root}{key}")


def content_policy() -> str:
    """Return the content security policy of every page: its own style and script, and clips from where it lies."""
    return _policy(_asset("sheet.css"), _asset("sheet.js"))


def _policy(style: str, script: str) -> str:
    sources = "'self' http: https: file:"
    return (
        f"default-src 'none'; img-src {sources}; media-src {sources}; style-src {_hash(style)}; "
        f"script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _asset(name: str) -> str:
    return files("reelmill_common.report").joinpath(name).read_text(encoding="utf-8")


def _facts(report: Report) -> Iterator[str]:
    cost = "" if report.cost is None else f"{report.cost:,.2f} {report.currency}"
    values = {
        "owner": report.owner,
        **{state: f"{count:,}" for state, count in report.counts.items()},
        "time": span(report.span_s) if report.span_s else "",
        "clips an hour": f"{report.clips_per_h:,.0f}" if report.clips_per_h else "",
        "GPU time": span(report.gpu_s) if report.gpu_s else "",
        "energy": "" if report.energy_j is None else energy_text(report.energy_j),
        "cost": cost,
        "AI-generated": marks_text(report) if report.marks else "",
        "wasted GPU time": span(report.wasted_gpu_s) if report.wasted_gpu_s else "",
        **{f"clips of {worker}": f"{count:,}" for worker, count in report.workers.items()},
        **{f"mean {stage}": f"{seconds:.2f} s" for stage, seconds in report.stages.items()},
    }
    for name, value in values.items():
        if value:
            yield f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"


def _note(report: Report) -> str:
    return f'<p class="note">{escape(TINY_NOTE)}</p>\n' if TINY in report.profiles else ""


def _causes(report: Report) -> str:
    if not report.failures:
        return ""
    items = "\n".join(
        f"<li><b>{failure.count:,} {escape(failure.code)}</b>: {escape(failure.message)}<br>"
        + (f"<code>{escape(failure.retry)}</code></li>" if failure.retry else f"{escape(failure.advice)}</li>")
        for failure in report.failures
    )
    return f'<h2>Failures by cause</h2>\n<ul class="causes">\n{items}\n</ul>\n'


def _form(report: Report) -> str:
    states = "".join(f'<option value="{state}">{state.replace("_", " ")}</option>' for state in report.counts)
    return (
        '<form role="search"><input name="text" type="search" placeholder="Words of a prompt, row, metadata" '
        'aria-label="Filter by text"><select name="state" aria-label="Filter by state">'
        f'<option value="">all</option>{states}</select><output name="shown" aria-live="polite"></output></form>'
    )


def _figure(entry: Entry, link: Link) -> str:
    failed = ' class="failed"' if entry.state == JobState.FAILED.value else ""
    picture = _button(entry, link) if entry.key else ""
    return (
        f'<figure{failed} data-state="{entry.state}">{picture}<figcaption><p>{escape(entry.prompt)}</p>'
        f"{_reason(entry)}<details><summary>{escape(entry.row)} · seed {entry.seed}</summary>"
        f"{_recipe(entry, link)}</details>"
        f"</figcaption></figure>"
    )


def _button(entry: Entry, link: Link) -> str:
    label = escape(f"Play {entry.row}: {entry.prompt[:120]}")
    return (
        f'<button type="button" data-clip="{escape(link(entry.key))}" aria-label="{label}">'
        f'<img loading="lazy" alt="" src="{escape(link(entry.poster_key))}"></button>'
    )


def _reason(entry: Entry) -> str:
    if entry.code:
        return f"<p><b>{escape(entry.code)}</b>: {escape(entry.message)}</p>"
    return "" if entry.key else f"<p><b>{entry.state.replace('_', ' ')}</b></p>"


def _recipe(entry: Entry, link: Link) -> str:
    took = f" · {entry.gpu_s:.2f} s of GPU" if entry.gpu_s else ""
    tries = f" · {entry.attempts} attempts" if entry.attempts > 1 else ""
    mark = f" · {mark_text(entry.signature)}" if entry.signature else ""
    facts = f"{entry.facts}{took}{tries}{mark} · {entry.worker}".rstrip(" ·")
    known = "".join(f"<br>{escape(name)}: {escape(value)}" for name, value in entry.metadata.items())
    manifest = f' · <a href="{escape(link(entry.manifest_key))}">recipe</a>' if entry.key else ""
    return f"{escape(facts)}{manifest}{known}<br>{entry.job_id}"


def _time_text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
