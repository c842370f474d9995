"""Marks of clips on their way to the store: signed, stored unsigned, or held back, as the settings say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import c2pa
import pytest
import redis
from PIL import Image

from fixtures.bench import Bench
from fixtures.disk import fill
from fixtures.s3 import free_port
from fixtures.signers import SignerFiles, signer_files
from fixtures.time_stamps import time_stamp_authority
from fixtures.valkey import wait_for
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Claimed
from reelmill_common.provenance.plain_marks import DIGITAL_SOURCE_TYPE
from reelmill_common.recipe import MarkFacts, read_manifest
from reelmill_common.storage import StoredObject
from reelmill_producer.outputs.mp4_tags import read_tags
from reelmill_worker.child.renderer import FixedDurationRenderer
from reelmill_worker.delivery.clip_files import PendingClip
from reelmill_worker.delivery.video import probe


@pytest.fixture
def signer(tmp_path: Path) -> SignerFiles:
    return signer_files(tmp_path / "signer")


def render(bench: Bench, *, batch: str = "night") -> Claimed:
    claimed = bench.claim(batch=batch)
    rendering = FixedDurationRenderer(seconds=0).render(claimed.spec, lambda _stage: None)
    bench.deliveries.hand_over(PendingClip(lease=bench.leases.hold(claimed), rendering=rendering))
    return claimed


def stored(bench: Bench, claimed: Claimed) -> tuple[bytes, MarkFacts]:
    """Return a clip's file and the marks that its manifest names, once it is published."""
    view = wait_for(lambda: bench.ends(claimed.job_id), what="the clip")
    assert view.result is not None, view.error
    manifest = read_manifest(bench.store.get(view.result.key.removesuffix("mp4") + "json"))
    assert manifest.clip.marks is not None
    return bench.store.get(view.result.key), manifest.clip.marks


def render_until_reported(bench: Bench, *, batch: str = "night") -> tuple[Claimed, list[StoredObject], str]:
    """Render a clip that cannot be stored; return it, what is in the store of its batch, and what was reported."""
    reported: list[str] = []
    bench.deliveries.on_store_error = reported.append
    claimed = render(bench, batch=batch)
    wait_for(lambda: reported, what="the problem")
    return claimed, list(bench.store.list(f"{batch}/")), reported[0]


def read_signed(video: bytes, authority: Path | None = None) -> tuple[str, dict[str, Any]]:
    settings: dict[str, Any] = {"verify": {"verify_trust": True}}
    if authority is not None:
        settings["trust"] = {"trust_anchors": authority.read_text()}
    with (
        c2pa.Context.from_dict(settings) as context,
        c2pa.Reader("video/mp4", BytesIO(video), context=context) as reader,
    ):
        document = json.loads(reader.json())
        return str(reader.get_validation_state()), document["manifests"][document["active_manifest"]]


def test_a_stored_clip_says_who_made_it_with_what(make_bench: Callable[..., Bench], signer: SignerFiles) -> None:
    bench = make_bench(**signer.settings())
    claimed = render(bench)

    video, marks = stored(bench, claimed)

    state, manifest = read_signed(video, signer.authority)
    assertions = {item["label"]: item["data"] for item in manifest["assertions"]}
    (created,) = assertions["c2pa.actions.v2"]["actions"]
    assert state == "Trusted"
    assert read_signed(video)[0] == "Valid"  # intact, by a signer whom nobody knows
    assert (created["action"], created["digitalSourceType"]) == ("c2pa.created", DIGITAL_SOURCE_TYPE)
    assert created["softwareAgent"] == {"name": "tiny", "version": "none"}
    assert assertions["org.reelmill.recipe"]["spec"]["prompt"] == claimed.spec.prompt
    assert assertions["c2pa.soft-binding"]["blocks"][0]["value"] == marks.fingerprint != ""
    assert (marks.signature, marks.time_stamped) == ("signed", False)
    assert marks.signer == manifest["signature_info"]["common_name"] == "Reelmill farm test, signer for trials"


def test_the_ledger_has_hash_and_size_of_the_signed_file(make_bench: Callable[..., Bench], signer: SignerFiles) -> None:
    bench = make_bench(**signer.settings())
    claimed = render(bench)

    video, _ = stored(bench, claimed)

    result = bench.ledger.jobs.get(claimed.job_id).result
    assert result is not None
    assert (result.sha256, result.size_bytes) == (hashlib.sha256(video).hexdigest(), len(video))


def test_a_signed_clip_plays_while_it_loads_and_keeps_its_tags(
    make_bench: Callable[..., Bench], signer: SignerFiles, tmp_path: Path
) -> None:
    bench = make_bench(**signer.settings())
    claimed = render(bench)
    (tmp_path / "clip.mp4").write_bytes(stored(bench, claimed)[0])

    facts = probe(tmp_path / "clip.mp4")

    assert facts.index_first
    assert facts.frames == claimed.spec.frames
    assert facts.tags["genre"] == "AI-generated"
    assert read_tags((tmp_path / "clip.mp4").read_bytes())["digital_source_type"] == DIGITAL_SOURCE_TYPE


@pytest.mark.parametrize(("provenance", "signature"), [("prefer", "unsigned"), ("off", "off")])
def test_every_clip_poster_and_preview_has_the_plain_marks(
    make_bench: Callable[..., Bench], provenance: str, signature: str
) -> None:
    bench = make_bench(provenance=provenance, preview="webp")
    claimed = render(bench)

    video, marks = stored(bench, claimed)

    assert marks.signature == signature
    assert (marks.fingerprint == "") == (provenance == "off")
    assert f'DigitalSourceType="{DIGITAL_SOURCE_TYPE}"'.encode() in video
    result = bench.ledger.jobs.get(claimed.job_id).result
    assert result is not None
    for suffix in ("jpg", "webp"):
        with Image.open(BytesIO(bench.store.get(result.key.removesuffix("mp4") + suffix))) as picture:
            assert DIGITAL_SOURCE_TYPE.encode() in picture.info["xmp"]
            assert "AI-generated" in picture.getexif().values()


@pytest.mark.parametrize(
    ("prompt", "shows", "says"),
    [
        pytest.param("show", True, "prompt", id="shown"),
        pytest.param("hash", False, "prompt_sha256", id="hashed"),
        pytest.param("omit", False, "seed", id="left out"),
    ],
)
def test_a_file_shows_as_much_of_the_prompt_as_the_settings_allow(
    make_bench: Callable[..., Bench], signer: SignerFiles, prompt: str, shows: bool, says: str
) -> None:
    bench = make_bench(**signer.settings(), provenance_prompt=prompt)
    claimed = render(bench)

    video, _ = stored(bench, claimed)

    assert (claimed.spec.prompt.encode() in video) is shows
    assertions = {item["label"]: item["data"] for item in read_signed(video)[1]["assertions"]}
    assert says in assertions["org.reelmill.recipe"]["spec"]


def test_equal_latents_have_equal_fingerprints_and_other_files(
    make_bench: Callable[..., Bench], signer: SignerFiles
) -> None:
    bench = make_bench(**signer.settings())
    first, first_marks = stored(bench, render(bench))

    second, second_marks = stored(bench, render(bench, batch="again"))

    assert first_marks.fingerprint == second_marks.fingerprint != ""
    assert first != second


def break_key(signer: SignerFiles) -> None:
    signer.key.write_bytes(signer_files(signer.key.parent / "other").key.read_bytes())


def expire(signer: SignerFiles) -> None:
    signer_files(signer.key.parent, days=1, now=datetime.now(UTC) - timedelta(days=3))


FAULTS = [
    pytest.param(lambda signer: signer.key.unlink(), "cannot be read", id="no key"),
    pytest.param(break_key, "is not that of the certificate", id="a wrong key"),
    pytest.param(expire, "expired", id="an expired certificate"),
    pytest.param(lambda signer: signer.certificate.write_text("x"), "holds no certificate", id="no certificate"),
]


@pytest.mark.parametrize(("fault", "why"), FAULTS)
def test_a_clip_that_cannot_be_signed_is_stored_unsigned_where_signing_is_preferred(
    make_bench: Callable[..., Bench], signer: SignerFiles, fault: Callable[[SignerFiles], object], why: str
) -> None:
    fault(signer)
    bench = make_bench(**signer.settings())

    _, marks = stored(bench, render(bench))

    assert why in bench.publisher.writer.marker.problem(signer.certificate)
    assert marks.signature == "failed"


@pytest.mark.parametrize(("fault", "why"), FAULTS)
def test_a_clip_that_cannot_be_signed_waits_until_it_can_where_signing_is_required(
    make_bench: Callable[..., Bench], signer: SignerFiles, fault: Callable[[SignerFiles], object], why: str
) -> None:
    fault(signer)
    bench = make_bench(**signer.settings(), provenance="require")
    claimed, before, reported = render_until_reported(bench)

    signer_files(signer.key.parent)
    _, marks = stored(bench, claimed)

    assert why in reported
    assert before == []  # nothing was published unmarked
    assert marks.signature == "signed"
    assert bench.ledger.jobs.get(claimed.job_id).attempts == 1  # and nothing was rendered twice
    assert bench.state(claimed.job_id) is JobState.SUCCEEDED


@pytest.mark.parametrize(
    ("stamp_policy", "signature"), [pytest.param("prefer", "signed"), pytest.param("require", "failed")]
)
def test_without_its_time_stamp_authority_a_clip_is_stored_as_the_policy_says(
    make_bench: Callable[..., Bench], signer: SignerFiles, stamp_policy: str, signature: str
) -> None:
    down = {"provenance_timestamp": f"http://127.0.0.1:{free_port()}", "provenance_timestamp_policy": stamp_policy}
    bench = make_bench(**signer.settings(), **down)

    _, marks = stored(bench, render(bench))

    assert (marks.signature, marks.time_stamped) == (signature, False)


def test_a_clip_waits_for_a_time_stamp_where_both_are_required(
    make_bench: Callable[..., Bench], signer: SignerFiles, tmp_path: Path
) -> None:
    port = free_port()
    down = {"provenance_timestamp": f"http://127.0.0.1:{port}", "provenance_timestamp_policy": "require"}
    bench = make_bench(**signer.settings(), **down, provenance="require")
    claimed, before, reported = render_until_reported(bench)

    with time_stamp_authority(tmp_path / "tsa", port):
        _, marks = stored(bench, claimed)

    assert "no time stamp" in reported
    assert before == []
    assert (marks.signature, marks.time_stamped) == ("signed", True)
    assert bench.ledger.jobs.get(claimed.job_id).attempts == 1


def fill_but_for_a_clip(bench: Bench, small_spool: Path) -> Path:
    """Leave room for a clip and its poster, and none for the signed copy beside it."""
    signed_bytes = len(stored(bench, render(bench))[0])
    wait_for(lambda: not list(small_spool.iterdir()), what="the spool to be empty")
    return fill(small_spool, but_bytes=signed_bytes + 4096)


def test_a_clip_for_whose_signed_copy_the_disk_is_too_full_is_stored_unsigned_where_signing_is_preferred(
    make_bench: Callable[..., Bench], signer: SignerFiles, small_spool: Path
) -> None:
    bench = make_bench(**signer.settings())
    fill_but_for_a_clip(bench, small_spool)

    video, marks = stored(bench, render(bench, batch="full"))

    assert marks.signature == "failed"
    assert f'DigitalSourceType="{DIGITAL_SOURCE_TYPE}"'.encode() in video
    assert [path.name for path in small_spool.iterdir()] == ["ballast"]


def test_a_clip_for_whose_signed_copy_the_disk_is_too_full_waits_where_signing_is_required(
    make_bench: Callable[..., Bench], signer: SignerFiles, small_spool: Path
) -> None:
    bench = make_bench(**signer.settings(), provenance="require")
    ballast = fill_but_for_a_clip(bench, small_spool)
    claimed, before, reported = render_until_reported(bench, batch="full")
    left = [path.name for path in small_spool.iterdir()]

    ballast.unlink()
    _, marks = stored(bench, claimed)

    assert "No space left" in reported
    assert (before, left) == ([], ["ballast"])  # nothing in the store, and no half clip on the disk
    assert marks.signature == "signed"
    assert bench.ledger.jobs.get(claimed.job_id).attempts == 1


def test_a_new_certificate_is_used_without_a_restart(make_bench: Callable[..., Bench], signer: SignerFiles) -> None:
    bench = make_bench(**signer.settings())
    stored(bench, render(bench))

    signer_files(signer.key.parent, farm="renewed")

    assert stored(bench, render(bench, batch="second"))[1].signer == "Reelmill farm renewed, signer for trials"


def test_no_key_and_no_certificate_reaches_the_ledger(make_bench: Callable[..., Bench], signer: SignerFiles) -> None:
    bench = make_bench(**signer.settings())
    claimed = render(bench)
    stored(bench, claimed)

    with redis.Redis.from_url(bench.settings.redis_url) as server:
        found = [server.dump(key) for key in server.scan_iter(f"*{bench.settings.farm}*")]

    secret = signer.key.read_bytes().splitlines()[1]
    assert found
    assert not [value for value in found if value and (secret in value or b"PRIVATE KEY" in value)]
