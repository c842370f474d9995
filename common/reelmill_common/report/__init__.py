"""Reports: the result of a batch as a contact sheet, as JSON and as text. Imports ledger, storage and settings."""

from reelmill_common.report.facts import Report, gather

__all__ = ["Report", "gather"]
