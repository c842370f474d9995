"""Reports: what became of a batch, as a contact sheet for a browser, as JSON, and in a few lines of text."""

from reelmill_common.report.facts import Report, gather

__all__ = ["Report", "gather"]
