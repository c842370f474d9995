"""A report in a few lines of text: for a terminal, a mail, or a message."""

from __future__ import annotations

from datetime import timedelta

from reelmill_common.prices import energy_text
from reelmill_common.report.facts import Report
from reelmill_common.text.terminal_text import printable

SIGNATURES = {
    "signed": "signed",
    "unsigned": "not signed",
    "failed": "could not be signed",
    "off": "signing off",
    "unknown": "without a record of marks",
}
"""Words for the signed mark that a manifest names, see `MarkFacts`."""


def summary(report: Report) -> str:
    """Return a report as text, each failure with the command that queues it again."""
    lines = [f"batch {report.batch}: {report.stored:,} of {report.total:,} clips succeeded ({report.outcome})"]
    others = [f"{count:,} {state}" for state, count in report.counts.items() if state != "succeeded"]
    if others:
        lines.append("  " + ", ".join(others))
    if report.span_s:
        lines.append(f"  {span(report.span_s)} from first start to last end, {report.clips_per_h:,.0f} clips/h")
    if report.gpu_s:
        cost = "" if report.cost is None else f", {report.cost:,.2f} {report.currency}".rstrip()
        energy = "" if report.energy_j is None else f", {energy_text(report.energy_j)}"
        wasted = f"; {report.wasted_gpu_s:,.1f} more wasted" if report.wasted_gpu_s else ""
        lines.append(f"  {report.gpu_s:,.1f} GPU seconds{energy}{cost}{wasted}")
    if report.marks:
        lines.append(f"  marked as AI-generated: {marks_text(report)}")
    if report.workers:
        lines.append("  " + ", ".join(f"{worker} {count:,}" for worker, count in report.workers.items()))
    for failure in report.failures:
        lines.append(f"  {failure.count:,} failed, {failure.code}: {printable(failure.message[:200])}")
        lines.append(f"    {failure.retry or failure.advice}")
    return "\n".join(lines)


def marks_text(report: Report) -> str:
    """Return how the clips are marked, for people."""
    kinds = ", ".join(f"{count:,} {SIGNATURES.get(kind, kind)}" for kind, count in sorted(report.marks.items()))
    return f"{kinds}; {report.fingerprints:,} recognised in copies"


def mark_text(signature: str) -> str:
    """Return what the file of one clip says of its origin, for people."""
    return f"AI-generated, {SIGNATURES.get(signature, signature)}"


def span(seconds: float) -> str:
    """Return a duration for people."""
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))
