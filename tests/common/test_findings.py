from __future__ import annotations

from reelmill_common.errors import NotFound
from reelmill_common.findings import Finding, Severity, worst


def test_an_error_is_a_finding_whose_advice_follows_the_last_semicolon() -> None:
    finding = Finding.from_error("store", NotFound("no bucket; it may be elsewhere; create it"))

    assert (finding.level, finding.found, finding.advice) == (
        Severity.FAIL,
        "no bucket; it may be elsewhere",
        "create it",
    )
    assert Finding.from_error("store", NotFound("no bucket")).found == "no bucket"


def test_the_worst_level_is_that_of_the_whole() -> None:
    levels = [Finding(name="a", level=level, found="") for level in (Severity.OK, Severity.FAIL, Severity.WARN)]

    assert (worst(levels), worst(levels[:1]), worst([])) == (Severity.FAIL, Severity.OK, Severity.OK)
