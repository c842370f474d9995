"""Prometheus' configuration, the alerts and the dashboard: by promtool, and against what we really export."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from fixtures.deployment import ROOT
from fixtures.nvml import UUID, nvml
from fixtures.prometheus import PrometheusPrograms
from fixtures.signers import signer_files
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger, WorkerInfo, WorkerState
from reelmill_common.metrics.exporter import registry
from reelmill_common.metrics.farm import FarmCollector
from reelmill_common.settings import Settings
from reelmill_worker.host.gpu_sensors import GpuSensors
from reelmill_worker.ipc.counters import Counters
from reelmill_worker.parent.metrics import WorkerCollector

pytestmark = pytest.mark.timeout(600)  # Prometheus may have to be fetched first

FOLDER = ROOT / "infra/prometheus"
DASHBOARD = json.loads((ROOT / "infra/grafana/dashboards/reelmill.json").read_text())
RULES = [rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
SUFFIXES = ("_bucket", "_sum", "_count")


def promtool(programs: PrometheusPrograms, *args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [programs.promtool, *args], cwd=FOLDER, capture_output=True, text=True, check=False, timeout=60
    )


def expressions() -> dict[str, str]:
    """Return every query of the dashboard and of the alerts, by what it is for."""
    found = {f"alert {rule['alert']}": rule["expr"] for rule in RULES}
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            found[f"panel {panel['title']} {target['refId']}"] = target["expr"]
    found["variable"] = DASHBOARD["templating"]["list"][0]["query"]
    return found


def test_prometheus_takes_the_configuration_and_its_rules(prometheus_programs: PrometheusPrograms) -> None:
    done = promtool(prometheus_programs, "check", "config", "prometheus.yml")

    assert done.returncode == 0, done.stderr
    assert f"{len(RULES)} rules found" in done.stdout


def test_each_alert_fires_on_what_it_is_for_and_not_on_what_is_close_to_it(
    prometheus_programs: PrometheusPrograms,
) -> None:
    done = promtool(prometheus_programs, "test", "rules", "alerts_test.yml")

    assert done.returncode == 0, done.stdout + done.stderr


def test_no_alert_is_without_both_tests() -> None:
    cases = [
        case
        for test in yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
        for case in test["alert_rule_test"]
    ]

    names = {rule["alert"] for rule in RULES}
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == names
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == names


def test_each_alert_says_how_urgent_it_is_and_what_to_do() -> None:
    assert len(RULES) > 5
    for rule in RULES:
        assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
        assert set(rule["annotations"]) == {"summary", "action"}, rule["alert"]


def test_a_test_of_the_alerts_fails_when_a_rule_is_wrong(
    prometheus_programs: PrometheusPrograms, tmp_path: Path
) -> None:
    rules = (FOLDER / "alerts.yml").read_text()
    (tmp_path / "alerts.yml").write_text(
        rules.replace("changes(reelmill_jobs_ended[10m])", "changes(reelmill_jobs[10m])")
    )
    (tmp_path / "alerts_test.yml").write_text((FOLDER / "alerts_test.yml").read_text())

    done = promtool(prometheus_programs, "test", "rules", tmp_path / "alerts_test.yml")

    assert done.returncode != 0
    assert "ReelmillNoProgress" in done.stdout + done.stderr


def test_every_query_of_the_dashboard_is_one_that_prometheus_can_read(
    prometheus_programs: PrometheusPrograms, tmp_path: Path
) -> None:
    queries = [expr for name, expr in expressions().items() if name.startswith("panel")]
    rules = [
        {"record": f"panel:{number}", "expr": expr.replace("$instance", ".*")} for number, expr in enumerate(queries)
    ]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))

    done = promtool(prometheus_programs, "check", "rules", tmp_path / "panels.yml")

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(queries) > 25


@pytest.fixture
def exported(settings: Settings, tmp_path: Path) -> dict[str, set[str]]:
    """What farm and workers export, by name with the labels of each, from their real collectors."""
    counted = tmp_path / "figures"
    counters = Counters(counted)
    counters.passed_gate(1.0)
    counters.took({"denoise": 1.0})
    counters.ended("failed", "bad_output")
    counters.store_failed("store_unavailable")
    counters._write()
    worker = WorkerCollector(
        worker="gpu0@host",
        profile="tiny",
        counted=counted,
        state=lambda: WorkerState.READY,
        info=lambda: WorkerInfo(gpu_uuid=UUID),
        certificate=str(signer_files(tmp_path / "signer").certificate),
    )
    worker._sensors = (UUID, GpuSensors(UUID, nvml()))
    with Ledger.connect(settings) as ledger:
        spec = RenderSpec(prompt="fox", frames=5, profile="tiny")
        ledger.batches.submit(Batch(name="night"), [RenderJob(batch="night", row="1", spec=spec)])
        farm = FarmCollector(ledger)
        farm._rate.see(time.monotonic() - 60, -1)  # a minute of the past, in which one clip was stored
        lines = generate_latest(registry(farm, worker)).decode().splitlines()
    found: dict[str, set[str]] = {}
    for line in lines:
        if match := re.match(r"(reelmill_\w+)(?:\{(.*)\})? ", line):
            found.setdefault(match[1], set()).update(re.findall(r"(\w+)=\"", match[2] or ""))
    return found


def names_of(query: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each metric that a query names, with the labels that select it."""
    for name, selector in re.findall(r"\b(reelmill_\w+)(?:\{([^}]*)\})?", query):
        yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))


def test_every_metric_that_is_asked_for_is_one_that_we_export(exported: dict[str, set[str]]) -> None:
    scraped = {"instance", "job"}
    asked = {name for query in expressions().values() for name, _ in names_of(query)}

    assert asked - exported.keys() == set()
    assert {
        (where, name, label)
        for where, query in expressions().items()
        for name, labels in names_of(query)
        for label in labels - scraped - exported[name]
    } == set()


def test_every_metric_that_we_export_is_on_the_dashboard_or_in_an_alert(exported: dict[str, set[str]]) -> None:
    asked = {name for query in expressions().values() for name, _ in names_of(query)}
    known = {re.sub(f"({'|'.join(SUFFIXES)})$", "", name) for name in exported if not name.endswith("_created")}

    unseen = known - {re.sub(f"({'|'.join(SUFFIXES)})$", "", name) for name in asked}
    assert unseen == {"reelmill_worker_state"}  # for people who build their own


def test_the_reference_lists_what_we_export(exported: dict[str, set[str]]) -> None:
    page = (ROOT / "docs/reference/metrics.md").read_text()
    rows = re.findall(r"^\| `(reelmill_\w+)` \| \w+ \| ([^|]*) \|", page, re.MULTILINE)
    listed = {name: set(re.findall(r"\w+", labels)) for name, labels in rows}
    real = {
        re.sub("_(bucket|sum|count)$", "", name): labels - {"le"}
        for name, labels in exported.items()
        if not name.endswith(("_created", "_sum", "_count"))
    }

    assert listed == real


def test_grafana_finds_prometheus_and_the_dashboard_where_compose_puts_them(composition: dict[str, Any]) -> None:
    grafana = composition["services"]["grafana"]
    mounts = {mount["target"]: Path(mount["source"]) for mount in grafana["volumes"] if mount["type"] == "bind"}
    provisioning = mounts["/etc/grafana/provisioning"]
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards/reelmill.yaml").read_text())["providers"]
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])

    assert source["url"] == "http://prometheus:9090"
    assert {target["datasource"]["uid"] for panel in DASHBOARD["panels"] for target in panel["targets"]} == {
        source["uid"]
    }
    assert (mounts[provider["options"]["path"]] / home.name).is_file()
    assert str(home.parent) == provider["options"]["path"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_no_one_looks_at_grafana_without_the_password_and_prometheus_is_not_published(
    composition: dict[str, Any],
) -> None:
    services = composition["services"]

    assert services["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"] == "grafana-test-password"
    assert services["grafana"]["environment"]["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert "ports" not in services["prometheus"]
    assert "ports" not in services["metrics"]


def test_prometheus_scrapes_what_compose_starts(composition: dict[str, Any]) -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    farm, workers = config["scrape_configs"]
    services = composition["services"]

    assert farm["static_configs"] == [{"targets": ["metrics:9464"]}]
    assert workers["http_sd_configs"][0]["url"] == "http://metrics:9464/targets"
    for name in ("metrics", "prometheus", "worker", "worker-cpu"):
        assert "monitoring" in services[name]["networks"]
    for name in ("worker", "worker-cpu"):
        read = Settings.from_env(services[name]["environment"])
        assert (read.metrics_host, read.metrics_port) == ("0.0.0.0", 9470)
        assert services[name]["networks"]["monitoring"]["aliases"] == [services[name]["hostname"]]
