from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.credentials import EnvProvider

from fixtures.deployment import ROOT, SECRETS, compose
from reelmill_common.settings import PREFIX, Settings

TEXT = (ROOT / "compose.yaml").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
DRAIN_S = 120.0
"""What an ending worker allows its deliveries (reelmill_worker.app, which cannot be imported without a farm)."""

Composition = dict[str, Any]


def seconds(duration: str) -> float:
    """Read a duration as Compose prints it: 18m0s."""
    return sum(
        float(number) * {"h": 3600, "m": 60, "s": 1}[unit] for number, unit in re.findall(r"([\d.]+)(\w)", duration)
    )


def test_the_example_filled_in_starts_the_farm_of_each_profile() -> None:
    filled = dict(line.split("=", 1) for line in EXAMPLE.splitlines() if line and not line.startswith("#")) | SECRETS

    default = compose("config", "--services", **filled)
    cpu = compose("config", "--services", **filled | {"COMPOSE_PROFILES": "cpu"})

    always = {"redis", "store", "console", "flower", "metrics", "prometheus", "grafana"}
    assert set(default.stdout.split()) == {*always, "worker"}, default.stderr
    assert set(cpu.stdout.split()) == {*always, "worker-cpu"}, cpu.stderr


@pytest.mark.parametrize("missing", sorted(SECRETS))
@pytest.mark.parametrize("how", ["unset", "empty"])
def test_nothing_starts_without_a_password(missing: str, how: str) -> None:
    given = {name: value for name, value in SECRETS.items() if name != missing} | (
        {missing: ""} if how == "empty" else {}
    )

    done = compose("--profile", "gpu", "config", "-q", **given)

    assert done.returncode != 0
    assert f"{missing} is missing a value: set it in .env" in done.stderr


def test_no_password_has_a_default_or_stands_in_a_file() -> None:
    assert not re.findall(r"\$\{(?:\w*(?:PASSWORD|KEY|AUTH|SECRET)\w*):?[-+][^}]*\}", TEXT)
    for name in SECRETS:
        assert re.search(rf"^{name}=$", EXAMPLE, re.MULTILINE), f"{name} is not empty in .env.example"


def test_it_is_valid_by_the_compose_specification() -> None:
    program = Path(sys.executable).with_name("check-jsonschema")
    command = [program, "--builtin-schema", "vendor.compose-spec", ROOT / "compose.yaml"]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stdout


def test_every_service_is_watched_locked_down_and_started_again(composition: Composition) -> None:
    services = composition["services"]
    assert {"redis", "store", "worker", "producer", "flower"} <= services.keys()
    for name, service in services.items():
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}, name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["restart"] == ("no" if name == "producer" else "unless-stopped"), name
        assert service["logging"]["options"]["max-size"], name
        assert "build" in service or service["user"].split(":")[0] not in {"0", "root"}, name


def test_nothing_is_published_beyond_this_host(composition: Composition) -> None:
    published = {name: service.get("ports", []) for name, service in composition["services"].items()}

    assert {port["host_ip"] for ports in published.values() for port in ports} == {"127.0.0.1"}
    assert {name for name, ports in published.items() if ports} == {"redis", "store", "console", "flower", "grafana"}


def test_what_holds_no_keys_cannot_reach_the_store(composition: Composition) -> None:
    near = {name: service for name, service in composition["services"].items() if "storage" in service["networks"]}

    assert {"worker", "producer"} <= near.keys()
    for name, service in near.items():
        assert service["environment"]["AWS_SECRET_ACCESS_KEY"] == SECRETS["S3_SECRET_KEY"], name


def test_every_volume_is_used_and_no_used_one_is_forgotten(composition: Composition) -> None:
    mounts = [mount for service in composition["services"].values() for mount in service.get("volumes", [])]

    declared = set(yaml.safe_load(TEXT)["volumes"])  # Compose itself leaves out unused ones
    assert {mount["source"] for mount in mounts if mount["type"] == "volume"} == declared
    assert {mount["target"] for mount in mounts if mount["type"] == "bind"} == {
        "/etc/reelmill",
        "/prompts",
        "/etc/prometheus",
        "/etc/grafana/provisioning",
        "/etc/reelmill/dashboards",
    }
    for mount in mounts:
        if mount["type"] == "bind":
            assert mount["read_only"]
            assert Path(mount["source"]).is_dir()


def test_every_variable_is_explained_in_the_example_and_none_is_left_over() -> None:
    used = set(re.findall(r"\$\{(\w+)", TEXT))
    explained = set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", EXAMPLE, re.MULTILINE))

    assert explained == used | {"COMPOSE_PROFILES"}


def test_the_defaults_in_the_example_are_those_of_compose() -> None:
    shown = dict(re.findall(r"^#([A-Z0-9_]+)=(.*)$", EXAMPLE, re.MULTILINE))
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", TEXT))

    assert {name: value for name, value in shown.items() if name != "GPU_COUNT"} == {
        name: value for name, value in defaults.items() if name != "GPU_COUNT"
    }


def test_every_setting_that_a_container_gets_is_one_that_reelmill_knows(composition: Composition) -> None:
    read = {
        name: Settings.from_env(service["environment"])
        for name, service in composition["services"].items()
        if any(variable.startswith(PREFIX) for variable in service.get("environment", {}))
    }

    assert set(read) == {"worker", "worker-cpu", "console", "flower", "metrics", "producer"}
    assert {settings.redis_url for settings in read.values()} == {"redis://:redis-test-password@redis:6379/0"}
    for name in ("worker", "worker-cpu", "console", "producer"):
        assert read[name].store_url == "s3://clips"
        assert read[name].s3_endpoint == "http://store.localhost:8333"
    assert read["worker"].profile == read["producer"].profile == "fastwan-qad-fp8"


def test_what_the_farms_people_set_reaches_every_part() -> None:
    given = {"REELMILL_METRICS_TOKEN": "t0ken", "REELMILL_FLOWER_PROMPTS": "hide", "REELMILL_VIDEO_CODEC": "libsvtav1"}
    done = compose("--profile", "*", "config", "--format", "json", **SECRETS, **given)
    services = json.loads(done.stdout)["services"]
    read = {
        name: Settings.from_env(services[name]["environment"])
        for name in services
        if "REELMILL_FARM" in services[name].get("environment", {})
    }

    assert {settings.flower_prompts for settings in read.values()} == {"hide"}
    assert {read[name].metrics_token for name in ("worker", "worker-cpu", "metrics")} == {"t0ken"}
    assert read["worker"].video_codec == "libsvtav1"
    assert {read[name].metrics_token for name in ("producer", "flower")} == {""}


def test_the_store_answers_to_the_name_that_clips_are_linked_by(composition: Composition) -> None:
    store = composition["services"]["store"]
    settings = Settings.from_env(composition["services"]["producer"]["environment"])
    bucket = settings.store_url.removeprefix("s3://")

    assert f"http://{store['networks']['storage']['aliases'][0]}:{store['ports'][0]['target']}" == settings.s3_endpoint
    assert f"-bucket={bucket}" in store["command"]


def test_a_worker_is_given_the_time_to_finish_and_store_its_clip(composition: Composition) -> None:
    longest = Settings().clip_hard_limit_s + DRAIN_S

    for name in ("worker", "worker-cpu"):
        assert seconds(composition["services"][name]["stop_grace_period"]) >= longest


@pytest.mark.parametrize(("variables", "count"), [({}, -1), ({"GPU_COUNT": "2"}, 2)])
def test_a_worker_reserves_the_gpus_that_it_is_told_to(variables: dict[str, str], count: int) -> None:
    done = compose("--profile", "gpu", "config", "--format", "json", **SECRETS, **variables)

    (device,) = json.loads(done.stdout)["services"]["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": count, "capabilities": ["gpu"]}


ROLES = {
    "farm": {"redis", "store", "console", "flower", "metrics", "prometheus", "grafana"},
    "render": {"worker"},
}


@pytest.mark.parametrize("role", ROLES)
def test_a_host_runs_what_its_role_needs(role: str) -> None:
    done = compose("config", "--services", COMPOSE_PROFILES=role, **SECRETS)

    assert set(done.stdout.split()) == ROLES[role], done.stderr


OUTSIDE = ["outside-store.yaml", "instance-role.yaml", "outside-redis.yaml"]
REDIS_URL = "rediss://farm:p%40$$ss#1@redis.example.org:6380/0"


def with_outside(*over: str, **variables: str) -> dict[str, dict[str, str]]:
    """Return the environment of each service under some of the files in infra/compose."""
    done = compose("--profile", "gpu", "--profile", "tools", "config", "--format", "json", over=over, **variables)
    assert done.returncode == 0, done.stderr
    # `config` writes a dollar as two, so that what it prints can be read by Compose again.
    services = json.loads(done.stdout.replace("$$", "$"))["services"]
    return {name: service.get("environment", {}) for name, service in services.items()}


def test_a_store_of_somebody_else_takes_the_place_of_ours() -> None:
    keys = SECRETS | {"S3_BUCKET": "ours", "REELMILL_S3_REGION": "eu-central-1"}
    aws = with_outside("outside-store.yaml", **keys)
    other = with_outside("outside-store.yaml", **keys, S3_ENDPOINT="https://s3.example.org")
    by_role = with_outside("outside-store.yaml", "instance-role.yaml", **keys)

    assert "store" not in {*aws, *other, *by_role}
    for name in ("worker", "console", "producer"):
        settings = Settings.from_env(aws[name])
        assert (settings.store_url, settings.s3_endpoint, settings.s3_region) == ("s3://ours", "", "eu-central-1")
        assert Settings.from_env(other[name]).s3_endpoint == "https://s3.example.org"
        assert aws[name]["AWS_SECRET_ACCESS_KEY"] == SECRETS["S3_SECRET_KEY"]
        assert EnvProvider(environ=by_role[name]).load() is None  # boto3 asks the next in its chain


def test_a_redis_of_somebody_else_takes_the_place_of_ours() -> None:
    services = with_outside(*OUTSIDE, **SECRETS, REDIS_URL=REDIS_URL)
    missing = compose("--profile", "gpu", "config", "-q", over=["outside-redis.yaml"], **SECRETS)

    assert not {"redis", "store"} & set(services)
    asked = [services[name] for name in ("worker", "console", "flower", "metrics", "producer")]
    assert {env["REELMILL_REDIS_URL"] for env in asked} == {REDIS_URL}
    assert missing.returncode != 0
    assert "REDIS_URL is missing a value: set it in .env, in single quotes" in missing.stderr


@pytest.mark.parametrize("name", OUTSIDE)
def test_the_files_for_servers_of_others_name_only_what_there_is(name: str, composition: Composition) -> None:
    text = (ROOT / "infra/compose" / name).read_text()

    services = re.findall(r"^  ([a-z-]+):", text, re.MULTILINE)
    assert set(services) <= set(composition["services"])
    assert name in (ROOT / "infra/README.md").read_text()


@pytest.mark.parametrize(
    "value", ["pa$$word", "$HOME", "${X}", "a b #c", 'say "x"', "back\\slash", "a=b:c", "#x", "pä€"]
)
def test_a_value_in_single_quotes_reaches_its_container_as_it_is(tmp_path: Path, value: str) -> None:
    smtp = f"smtp://me:{value}@mail.example.org:587"
    given = {**SECRETS, "S3_SECRET_KEY": value, "GRAFANA_PASSWORD": value, "FLOWER_BASIC_AUTH": f"me:{value}"}
    file = tmp_path / ".env"
    file.write_text("".join(f"{name}='{text}'\n" for name, text in (given | {"REELMILL_SMTP_URL": smtp}).items()))

    done = compose("--profile", "gpu", "config", "--format", "json", env_file=file)

    assert done.returncode == 0, done.stderr
    assert "not set" not in done.stderr
    services = json.loads(done.stdout)["services"]
    got = {
        services["worker"]["environment"]["AWS_SECRET_ACCESS_KEY"],
        services["worker"]["environment"]["REELMILL_SMTP_URL"].removeprefix("smtp://me:").partition("@")[0],
        services["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"],
        services["flower"]["environment"]["FLOWER_BASIC_AUTH"].removeprefix("me:"),
    }
    assert got == {value.replace("$", "$$")}  # as `config` writes a dollar


def test_the_example_says_how_such_a_value_is_written() -> None:
    assert "in single quotes" in EXAMPLE.split("REDIS_PASSWORD=")[0]
