"""The Helm chart, rendered and linted by Helm itself, and its manifests against Kubernetes' own schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate
import pytest
import yaml
from helm_python.chart import Chart, lint
from helm_python.errors import HelmError

from fixtures.deployment import ROOT
from reelmill_common import __version__
from reelmill_common.ledger import Ledger
from reelmill_common.metrics.farm import FarmCollector
from reelmill_common.settings import PREFIX, Settings

CHART = ROOT / "infra/helm/reelmill"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VERSIONS = ("1.29.0", "1.33.0", kubernetes_validate.latest_version())
OTHERS = {"ScaledObject", "TriggerAuthentication", "ServiceMonitor", "PodMonitor"}
"""Kinds of KEDA and of the Prometheus operator, which Kubernetes' schemas do not have."""
REDIS = {"redis": {"existingSecret": "farm-redis"}}
CPU_TRIAL = {
    "profile": "tiny",
    "images": {"worker": {"repository": "reelmill-worker-cpu"}},
    "redis": {"bundled": {"enabled": True}},
    "store": {"bundled": {"enabled": True}},
    "worker": {"gpus": 0, "tolerations": [], "modelCache": {"kind": "emptyDir"}},
    "networkPolicy": {"enabled": False},
}
SPOT = {
    **REDIS,
    "store": {"url": "s3://clips/farm", "endpoint": "https://s3.example.org", "existingSecret": "farm-store"},
    "metrics": {"existingSecret": "farm-metrics", "monitors": True},
    "autoscaling": {"leadSeconds": 420},
    "pools": {
        "gpu": None,
        "spot": {
            "spot": True,
            "drainSeconds": 20,
            "labels": "spot",
            "autoscaling": {"enabled": True, "maxWorkers": 40, "lanes": ["fastwan-qad-fp8@h100"]},
            "modelCache": {"kind": "hostPath"},
            "compileCache": {"kind": "hostPath"},
        },
        "hosts": {
            "gpus": 8,
            "window": "22:00-07:00 UTC",
            "autoscaling": {"enabled": True, "minWorkers": 9, "maxWorkers": 16},
        },
    },
}
FACES = {
    **REDIS,
    "console": {"ingress": {"enabled": True, "host": "farm.example.org", "tlsSecret": "tls", "className": "nginx"}},
    "flower": {"enabled": True, "existingSecret": "farm-flower"},
    "worker": {"serviceAccountName": "renderer", "topologyKey": "", "modelCache": {"existingClaim": "models"}},
    "settings": {"prune_hours": 336, "report": "off"},
    "networkPolicy": {"consoleFrom": [{"namespaceSelector": {}}], "metricsFrom": [{"namespaceSelector": {}}]},
}
COMBINATIONS = {"outside servers": REDIS, "trial": CPU_TRIAL, "spot and KEDA": SPOT, "ingress and Flower": FACES}

Manifest = dict[str, Any]


def rendered(values: Mapping[str, Any]) -> list[Manifest]:
    return list(_rendered(json.dumps(values)))


@cache
def _rendered(values: str) -> tuple[Manifest, ...]:
    files = Chart.load(CHART).render(json.loads(values), name="night", namespace="farm")
    return tuple(
        item for path, text in files.items() if path.endswith(".yaml") for item in yaml.safe_load_all(text) if item
    )


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [item for item in manifests if item["kind"] in kinds]


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, dict[str, str], Manifest]]:
    """Yield what runs: its name, its labels, and its pod's spec."""
    for item in of_kind(manifests, "Deployment", "StatefulSet", "Job"):
        template = item["spec"]["template"]
        yield item["metadata"]["name"], template["metadata"]["labels"], template["spec"]


def containers(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for name, _, spec in pods(manifests):
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            yield f"{name}/{container['name']}", container


@pytest.fixture(params=COMBINATIONS.values(), ids=COMBINATIONS)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return rendered(request.param)


@pytest.mark.parametrize("values", COMBINATIONS.values(), ids=COMBINATIONS)
def test_helm_has_nothing_to_say_against_it(values: Mapping[str, Any]) -> None:
    report = lint(CHART, dict(values), strict=True, kube_version="v1.29.0")

    assert report["errors"] == []
    assert [item for item in report["messages"] if "icon is recommended" not in item["error"]] == []


def test_kubernetes_knows_every_field_of_every_manifest(manifests: list[Manifest]) -> None:
    known = [item for item in manifests if item["kind"] not in OTHERS]

    for item in known:
        for version in VERSIONS:
            kubernetes_validate.validate(item, version, strict=True)

    names = [(item["kind"], item["metadata"]["name"]) for item in manifests]
    assert len(names) == len(set(names)) > 8


def test_every_pod_is_restricted(manifests: list[Manifest]) -> None:
    specs = list(pods(manifests))

    for _, _, spec in specs:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    for name, container in containers(manifests):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert container["resources"]["limits"]["memory"], name
    assert len(specs) >= 3


def test_every_mount_has_its_volume(manifests: list[Manifest]) -> None:
    for item in of_kind(manifests, "Deployment", "StatefulSet", "Job"):
        spec = item["spec"]["template"]["spec"]
        made = {claim["metadata"]["name"] for claim in item["spec"].get("volumeClaimTemplates", [])}
        there = made | {volume["name"] for volume in spec.get("volumes", [])}
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= there


def test_whatever_selects_pods_selects_some(manifests: list[Manifest]) -> None:
    labels = [labels for _, labels, _ in pods(manifests)]

    selectors = [(item, item["spec"]["selector"]) for item in of_kind(manifests, "Service")]
    selectors += [
        (item, item["spec"]["selector"]["matchLabels"])
        for item in of_kind(manifests, "PodDisruptionBudget", "Deployment", "StatefulSet", "PodMonitor")
    ]
    for item, wanted in selectors:
        assert any(wanted.items() <= have.items() for have in labels), item["metadata"]["name"]
    assert selectors


def test_no_secret_stands_in_a_manifest(manifests: list[Manifest]) -> None:
    made = {item["metadata"]["name"] for item in of_kind(manifests, "Secret")}

    for name, container in containers(manifests):
        for variable in container.get("env", []):
            if any(word in variable["name"] for word in ("REDIS_URL", "SECRET", "TOKEN", "AUTH", "KEY_ID")):
                assert "secretKeyRef" in variable["valueFrom"], (name, variable)
    assert made in (set(), {"night-reelmill-redis", "night-reelmill-store"})


def variables(container: Manifest) -> dict[str, str]:
    """Return a container's variables as its process sees them, with something for what comes from elsewhere."""
    samples = {
        "REELMILL_REDIS_URL": "redis://:p@redis:6379/0",
        "POD_IP": "10.0.0.7",
        "REELMILL_METRICS_TOKEN": "t" * 20,
    }
    found = {item["name"]: item.get("value", samples.get(item["name"], "x")) for item in container.get("env", [])}
    return {name: value.replace("$(POD_IP)", "10.0.0.7") for name, value in found.items()}


def test_the_variables_are_settings_that_we_read(manifests: list[Manifest]) -> None:
    ours = {name: variables(item) for name, item in containers(manifests)}
    read = {
        name: Settings.from_env({key: value for key, value in env.items() if key.startswith(PREFIX)})
        for name, env in ours.items()
    }

    farms = [settings for settings in read.values() if settings.redis_url]
    assert {settings.redis_url for settings in farms} == {"redis://:p@redis:6379/0"}
    assert len(farms) >= 3


def test_the_parts_run_as_in_compose() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    ran = {name: item["args"] for name, item in containers(rendered(FACES)) if "args" in item}

    for part in ("console", "metrics", "flower"):
        assert ran[f"night-reelmill-{part}/{part}"] == [str(word) for word in compose[part]["command"]]
    trial = dict(containers(rendered(CPU_TRIAL)))
    store, redis = trial["night-reelmill-store/store"], trial["night-reelmill-redis/redis"]
    assert [arg for arg in store["args"] if "bucket=" not in arg] == [
        arg for arg in compose["store"]["command"] if "bucket=" not in arg
    ]
    assert redis["command"] == compose["redis"]["command"]
    config = next(item for item in rendered(CPU_TRIAL) if item["kind"] == "ConfigMap")
    assert config["data"]["redis.conf"] == (ROOT / "infra/redis/redis.conf").read_text()


def test_a_worker_has_the_time_that_it_needs_to_end() -> None:
    grace = {name: spec["terminationGracePeriodSeconds"] for name, _, spec in pods(rendered(SPOT)) if "worker" in name}
    drains = {
        name.partition("/")[0]: float(variables(item)["REELMILL_DRAIN_S"])
        for name, item in containers(rendered(SPOT))
        if name.endswith("/worker")
    }

    assert grace == {"night-reelmill-worker-spot": 25, "night-reelmill-worker-hosts": 1080}
    assert drains == {"night-reelmill-worker-spot": 20, "night-reelmill-worker-hosts": 0}
    assert not any("lifecycle" in item for name, item in containers(rendered(SPOT)) if name.endswith("/worker"))


def test_keda_asks_what_the_farm_answers(ledger: Ledger) -> None:
    """The address, its query and the place of the number are those of `reelmill metrics`."""
    scaled = {item["spec"]["scaleTargetRef"]["name"]: item["spec"] for item in of_kind(rendered(SPOT), "ScaledObject")}
    service = next(item for item in of_kind(rendered(SPOT), "Service") if item["metadata"]["name"].endswith("metrics"))

    for spec in scaled.values():
        (trigger,) = spec["triggers"]
        url = urlsplit(trigger["metadata"]["url"])
        answer = FarmCollector(ledger).wanted(parse_qs(url.query))
        assert answer[trigger["metadata"]["valueLocation"]] == 0
        assert (url.hostname, url.port) == (
            f"{service['metadata']['name']}.farm.svc",
            service["spec"]["ports"][0]["port"],
        )
        assert (url.path, trigger["type"], trigger["metadata"]["authMode"]) == ("/wanted", "metrics-api", "bearer")
    bounds = {
        name.rpartition("-")[2]: (
            *(spec["minReplicaCount"], spec["maxReplicaCount"]),
            spec["triggers"][0]["metadata"]["targetValue"],
        )
        for name, spec in scaled.items()
    }
    assert bounds == {"spot": (0, 40, "1"), "hosts": (2, 2, "8")}
    spot = scaled["night-reelmill-worker-spot"]["triggers"][0]["metadata"]
    assert spot["url"].endswith("lane=fastwan-qad-fp8&lane=fastwan-qad-fp8@h100")
    deployments = of_kind(rendered(SPOT), "Deployment")
    assert scaled.keys() == {item["metadata"]["name"] for item in deployments if "replicas" not in item["spec"]}


@pytest.mark.parametrize(
    ("values", "why"),
    [
        pytest.param({}, "redis.existingSecret is empty", id="no Redis"),
        pytest.param({**REDIS, "wroker": {}}, "wroker", id="unknown value"),
        pytest.param({**REDIS, "worker": {"gpus": "one"}}, "gpus", id="another type"),
        pytest.param({**REDIS, "pools": {"gpu": {"spto": True}}}, "spto", id="unknown value of a pool"),
        pytest.param({**REDIS, "pools": {"gpu": {"spot": True}}}, "set drainSeconds", id="spot, no drain"),
        pytest.param({**REDIS, "flower": {"enabled": True}}, "flower.existingSecret", id="Flower, no password"),
        pytest.param(
            {**REDIS, "worker": {"autoscaling": {"minWorkers": 9}}}, "minWorkers above maxWorkers", id="no room"
        ),
        pytest.param(
            {**REDIS, "metrics": {"enabled": False}, "worker": {"autoscaling": {"enabled": True}}},
            "metrics.enabled is false",
            id="KEDA without metrics",
        ),
    ],
)
def test_wrong_values_are_refused_with_what_is_wrong(values: dict[str, Any], why: str) -> None:
    with pytest.raises(HelmError, match=why):
        install(values)


def install(values: dict[str, Any]) -> None:
    """Check values and render, as an installation does before it asks the cluster."""
    chart = Chart.load(CHART)
    chart.validate_schema(values)
    chart.render(values, name="night", namespace="farm")


def test_every_value_is_documented_and_nothing_else() -> None:
    def compare(about: Mapping[str, Any], value: Any, path: str) -> None:
        inner = about.get("properties", {})
        assert about["description"], path
        if isinstance(value, dict) and about.get("additionalProperties") is False:
            assert value.keys() <= inner.keys(), path
            if not {"requests", "limits"} & inner.keys():
                assert value.keys() == inner.keys(), path
                for name in inner:
                    compare(inner[name], value[name], f"{path}.{name}")

    for name, about in SCHEMA["properties"].items():
        compare(about, VALUES[name], name)
    assert SCHEMA["properties"].keys() == VALUES.keys()


def test_the_chart_has_the_version_of_the_package() -> None:
    assert Chart.load(CHART).metadata["appVersion"] == __version__
