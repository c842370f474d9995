"""What a clip claims, and how much of its prompt it shows."""

from __future__ import annotations

import hashlib

from reelmill_common.provenance.claim import claim, shown
from reelmill_common.provenance.plain_marks import DIGITAL_SOURCE_TYPE

RECIPE = {"job": {"batch": "night", "row": "fox"}, "spec": {"profile": "tiny", "prompt": "a fox"}, "model_hash": "ab"}


def test_a_claim_names_the_model_and_that_a_model_made_it() -> None:
    found = claim(RECIPE, fingerprint="AAAA", version="1.2", made_at=0.0)

    data = {item["label"]: item["data"] for item in found["assertions"]}
    (action,) = data["c2pa.actions.v2"]["actions"]
    assert action["digitalSourceType"] == DIGITAL_SOURCE_TYPE
    assert action["softwareAgent"] == {"name": "tiny", "version": "ab"}
    assert action["when"] == "1970-01-01T00:00:00Z"
    assert data["c2pa.soft-binding"]["blocks"] == [{"scope": {}, "value": "AAAA"}]
    assert data["org.reelmill.recipe"] == RECIPE


def test_a_claim_without_a_fingerprint_binds_nothing_softly() -> None:
    labels = [item["label"] for item in claim(RECIPE, fingerprint="", version="1", made_at=0.0)["assertions"]]

    assert labels == ["c2pa.actions.v2", "org.reelmill.recipe"]


def test_a_prompt_is_shown_hashed_or_left_out() -> None:
    digest = hashlib.sha256(b"a fox").hexdigest()

    assert shown(RECIPE, "show") == RECIPE
    assert shown(RECIPE, "hash")["spec"] == {"profile": "tiny", "prompt_sha256": digest}
    assert shown(RECIPE, "omit")["spec"] == {"profile": "tiny"}
    assert RECIPE["spec"]["prompt"] == "a fox"  # type: ignore[index] - the recipe itself stays whole
