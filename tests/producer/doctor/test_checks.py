"""`reelmill doctor`: it finds what is wrong with real servers, and changes nothing."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from fixtures.cli import Cli
from fixtures.s3 import S3Server, free_port
from fixtures.signers import signer_files
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger, WorkerInfo
from reelmill_common.settings import Settings
from reelmill_common.storage import open_store
from reelmill_producer.doctor.checks import Finding, Severity, examine, link_finding, provenance_finding, worst


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_a_healthy_farm_has_nothing_to_be_done(settings: Settings) -> None:
    settings.state_dir.mkdir()

    findings = examine(dataclasses.replace(settings, renderer="fixed:1"))

    printed = [finding for finding in findings if finding.name != "gpu"]  # which the test machine may have or not
    assert worst(printed) is Severity.OK, findings
    assert all(not finding.advice for finding in printed)
    assert [finding.name for finding in findings] == [
        *("redis", "redis.aof", "redis.eviction", "redis.memory", "redis.connections", "redis.round_trip", "clock"),
        *("store", "worker", "gpu", "model", "provenance", "flower", "disk"),
    ]


def test_workers_that_store_elsewhere_are_told(settings: Settings, ledger: Ledger) -> None:
    ledger.workers.register("gpu0@there", "tiny", WorkerInfo())
    ledger.workers.ready("gpu0@there", WorkerInfo(store="s3://clips/ at http://store:8333"))
    ledger.workers.register("gpu0@here", "tiny", WorkerInfo())
    ledger.workers.ready("gpu0@here", WorkerInfo(store=settings.store_url))

    printed = by_name(examine(dataclasses.replace(settings, renderer="fixed:1")))["store.workers"]

    assert printed.level is Severity.WARN
    assert (
        printed.found
        == f"gpu0@there stores its clips in s3://clips, and here they are looked for in {settings.store_url}"
    )


@pytest.mark.parametrize("kind", ["job", "spec"])
def test_a_key_of_the_ledger_that_is_missing_is_named(settings: Settings, ledger: Ledger, kind: str) -> None:
    job = RenderJob(batch="night", row="r0", spec=RenderSpec(prompt="a fox", profile="tiny"))
    ledger.batches.submit(Batch(name="night"), [job])
    with redis.Redis.from_url(settings.redis_url) as client:
        client.delete(f"{ledger._keys.prefix}{kind}:{job.job_id}")

    found = by_name(examine(settings))["ledger"]

    assert found.level is Severity.WARN
    assert f"{kind} {job.job_id}" in found.found
    assert "submit the files again" in found.advice


def test_a_redis_that_does_not_answer_is_told_and_the_rest_is_looked_at(settings: Settings) -> None:
    found = by_name(examine(dataclasses.replace(settings, redis_url=f"redis://:hunter2@127.0.0.1:{free_port()}/0")))

    assert found["redis"].level is Severity.FAIL
    assert "does not answer" in found["redis"].found
    assert "hunter2" not in str(found)
    assert found["store"].level is Severity.OK


def test_a_store_that_takes_clips_is_told_with_what_it_honours(
    settings: Settings, nanio_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    nanio_server.let_in(monkeypatch)

    found = by_name(examine(nanio_server.settings(settings)))

    assert found["store"].level is Severity.OK
    assert nanio_server.endpoint in found["store"].found
    assert found["store.presign"].level is Severity.OK, found["store.presign"]
    assert "no conditional put" in found["store"].found


def test_a_missing_bucket_is_told_with_what_to_do(
    settings: Settings, nanio_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    nanio_server.let_in(monkeypatch)

    found = by_name(examine(nanio_server.settings(settings, bucket="no-such-bucket")))

    assert found["store"].level is Severity.FAIL
    assert found["store"].found == f"bucket 'no-such-bucket' is missing at {nanio_server.endpoint}"
    assert found["store"].advice == "create it or correct REELMILL_STORE_URL"


def test_a_store_url_without_a_bucket_is_told(settings: Settings) -> None:
    found = by_name(examine(dataclasses.replace(settings, store_url="s3:///clips")))

    assert found["store"].level is Severity.FAIL
    assert "use s3://bucket/prefix" in found["store"].advice


def test_a_model_that_is_not_there_is_told_with_the_command_that_fetches_it(settings: Settings) -> None:
    found = by_name(examine(dataclasses.replace(settings, profile="fastwan-qad-fp8")))

    assert found["model"].level is Severity.FAIL
    assert str(settings.state_dir / "models/fastwan-qad-fp8") in found["model"].found
    assert "`reelmill model pull`" in found["model"].advice


def test_a_model_of_which_a_part_is_missing_is_told_by_file(settings: Settings, tmp_path: Path) -> None:
    for name in ("model_index.json", "transformer/config.json", "transformer/diffusion_pytorch_model.safetensors"):
        (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / name).touch()

    found = by_name(examine(dataclasses.replace(settings, model_dir=str(tmp_path / "model"))))

    assert found["model"].level is Severity.FAIL
    assert found["model"].found.endswith("tokenizer/tokenizer.json missing")


def test_a_gpu_encoder_without_a_gpu_is_told(settings: Settings) -> None:
    if any(Path("/dev").glob("nvidia[0-9]*")):
        pytest.skip("this machine has a GPU")

    found = by_name(examine(dataclasses.replace(settings, video_codec="h264_nvenc")))

    assert found["gpu"].level is Severity.FAIL
    assert found["gpu"].advice == "use libx264"


def test_a_disk_too_small_for_the_spool_is_told(settings: Settings) -> None:
    found = by_name(examine(dataclasses.replace(settings, spool_mb=1_000_000_000)))

    assert found["disk"].level is Severity.WARN
    assert "REELMILL_SPOOL_MB" in found["disk"].advice


def test_a_machine_on_which_nothing_was_set_up_is_left_as_it_is(tmp_path: Path) -> None:
    findings = [
        found for found in examine(Settings(state_dir=tmp_path / "state", profile="tiny")) if found.name != "gpu"
    ]

    assert worst(findings) is Severity.OK, findings
    assert "`reelmill up` starts one" in by_name(findings)["redis"].found
    assert list(tmp_path.iterdir()) == []


def test_looking_at_the_worker_does_not_import_it(tmp_path: Path) -> None:
    program = (
        "import json, sys; from pathlib import Path; from reelmill_common.settings import Settings\n"
        "from reelmill_producer.doctor.checks import examine\n"
        "examine(Settings(state_dir=Path(sys.argv[1])))\n"
        "print(json.dumps([name for name in ('torch', 'diffusers', 'av') if name in sys.modules]))"
    )

    child = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "state")], capture_output=True, text=True, check=True
    )

    assert json.loads(child.stdout) == []


def test_the_plan_of_a_card_is_told_without_looking_at_anything(cli: Cli) -> None:
    findings = cli("doctor", "--gpu", "L40S", "--json").json["findings"]

    assert [finding["check"] for finding in findings] == ["gpu", "plan"]


def test_a_link_that_is_refused_is_told(
    settings: Settings, nanio_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    nanio_server.let_in(monkeypatch)
    good = open_store(nanio_server.settings(settings)).url("night/fox.mp4")

    refused = link_finding(good.replace("X-Amz-Signature=", "X-Amz-Signature=0"), "")
    silent = link_finding(f"http://127.0.0.1:{free_port()}/clips/fox.mp4?X-Amz-Signature=secret", "")

    assert refused.level is Severity.WARN
    assert "answered with 403" in refused.found
    assert silent.level is Severity.WARN
    assert "secret" not in str(silent)


@pytest.mark.parametrize(
    ("days", "level", "found"),
    [
        pytest.param(300, Severity.OK, "lasts 300 more days", id="new"),
        pytest.param(20, Severity.WARN, "lasts 20 more days", id="ends soon"),
        pytest.param(0, Severity.FAIL, "expired", id="has ended"),
    ],
)
def test_the_end_of_a_certificate_is_told_30_days_before(
    tmp_path: Path, days: float, level: Severity, found: str
) -> None:
    signer = signer_files(tmp_path, days=days)

    finding = provenance_finding(Settings(**signer.settings()))  # type: ignore[arg-type]

    assert (finding.level, found in finding.found) == (level, True)
    assert bool(finding.advice) is (level is not Severity.OK)


def test_clips_without_a_signer_are_no_fault() -> None:
    assert "plain marks only" in provenance_finding(Settings()).found
    assert "off" in provenance_finding(Settings(provenance="off")).found
    assert provenance_finding(Settings(provenance="require")).level is Severity.FAIL
