from __future__ import annotations

import base64
import json
import re
import signal
import socket
import subprocess
import sys
import unicodedata
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from celery.events.state import Task
from flower.urls import handlers

from fixtures.cli import Ran, environment, program, started
from fixtures.deployment import ROOT
from fixtures.farm import Farm
from fixtures.s3 import free_port
from fixtures.valkey import wait_for
from reelmill_common.errors import InvalidSettings
from reelmill_common.jobs import RenderSpec
from reelmill_common.settings import Settings
from reelmill_producer.dashboards.flower_columns import format_task
from reelmill_producer.dashboards.flower_logins import check_login, read_users, require_auth

LOGIN = "night-shift:a long password: with a colon"
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]
DATA = [
    "/workers?json=1",
    "/tasks/datatable?draw=1&start=0&length=10&order[0][column]=0&columns[0][data]=name",
    "/api/workers",
    "/api/tasks",
    "/api/task/types",
    "/api/queues/length",
]


def ask(
    port: int,
    path: str,
    *,
    login: str | bytes | None = LOGIN,
    data: bytes | None = None,
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Return status and body of one page."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data=data, method=method, headers=dict(headers or {})
    )
    if login is not None:
        known = login.encode() if isinstance(login, str) else login
        request.add_header("Authorization", "Basic " + base64.b64encode(known).decode())
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as err:
        with err:
            return err.code, err.read().decode()
    except urllib.error.URLError:
        return 0, ""  # it does not listen yet


def every_path() -> list[str]:
    """Return a path for each page that Flower's own list names, and some that it does not."""
    patterns = [rule.regex.pattern if hasattr(rule, "regex") else rule[0] for rule in handlers]
    paths = [re.sub(r"\(.*?\)|\.\*", "x", pattern.rstrip("$")).replace("/?", "") for pattern in patterns]
    return [path if path.startswith("/") else f"/{path}" for path in paths] + [
        "/static/js/flower.js",
        "//tasks",
        "/.git",
    ]


def run(settings: Settings, *args: str, **env: str) -> Ran:
    return program("flower", *args, env=settings.to_env() | env)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def dashboard(settings: Settings, port: int) -> Iterator[int]:
    with started("flower", "--port", str(port), env=settings.to_env() | {"FLOWER_BASIC_AUTH": LOGIN}) as running:
        running.wait_for_line("Flower listens")
        yield port


@pytest.mark.services
def test_nothing_is_shown_without_the_right_password(dashboard: int) -> None:
    paths = [path for path in every_path() if path != "/healthcheck"]
    calls = [(path, method) for path in paths for method in METHODS]
    refused = {call: ask(dashboard, call[0], method=call[1], login=None) for call in calls}
    health = ask(dashboard, "/healthcheck", login=None)

    assert len(paths) > 30
    assert {"/tasks", "/api/task/revoke/x", "/metrics", "/login", "/x"} <= set(paths)
    assert {status for status, _ in refused.values()} == {401}
    assert {body for _, body in refused.values()} == {"", "Access denied"}  # a HEAD has no body
    assert health == (200, "OK")


@pytest.mark.services
def test_what_is_no_password_is_answered_like_a_wrong_one(dashboard: int) -> None:
    password = LOGIN.partition(":")[2]
    strangers = ["night-shift:", "night-shift:wrong", f"nobody:{password}", "ü:ß", b"\xff\xfe", "", LOGIN + " "]
    headers = ["Bearer x", "Basic", "Basic %%%", "Basic YQ", f"Digest {base64.b64encode(LOGIN.encode()).decode()}"]
    refused = [ask(dashboard, "/api/tasks", login=login) for login in strangers]
    refused += [ask(dashboard, "/api/tasks", login=None, headers={"Authorization": header}) for header in headers]

    assert set(refused) == {(401, "Access denied")}


@pytest.mark.services
def test_a_login_may_have_any_letters(settings: Settings, port: int, tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text("jürgen:pä$$ wörd #1\n夜勤:пароль\n", encoding="utf-8")
    composed, parts = "jürgen:pä$$ wörd #1", unicodedata.normalize("NFD", "jürgen:pä$$ wörd #1")
    with started("flower", "--port", str(port), "--users-file", str(users), env=settings.to_env()) as running:
        running.wait_for_line("Flower listens")
        welcome = [composed, parts, composed.encode("latin-1"), "夜勤:пароль"]
        statuses = [ask(port, path, login=login)[0] for login in welcome for path in ("/tasks", "/api/tasks")]
        spelt = {"Authorization": "basic " + base64.b64encode(composed.encode()).decode()}
        statuses.append(ask(port, "/tasks", login=None, headers=spelt)[0])
        refused = [
            ask(port, "/tasks", login=login)[0] for login in ("jurgen:pä$$ wörd #1", "jürgen:", "夜:пароль", "door:")
        ]

    assert set(statuses) == {200}
    assert set(refused) == {401}


@pytest.mark.services
@pytest.mark.parametrize("place", ["environment", "file"])
def test_its_health_is_told_under_a_prefix_and_nothing_else(
    settings: Settings, port: int, tmp_path: Path, place: str
) -> None:
    conf = tmp_path / "flowerconfig.py"
    conf.write_text('url_prefix = "/farm/flower/"\n' if place == "file" else "")
    env = settings.to_env() | {"FLOWER_BASIC_AUTH": LOGIN}
    env |= {"FLOWER_URL_PREFIX": "farm/flower"} if place == "environment" else {}
    with started("flower", "--port", str(port), "--conf", str(conf), env=env) as running:
        running.wait_for_line("Flower listens")
        healthy = [ask(port, f"{prefix}/healthcheck", login=None) for prefix in ("", "/farm/flower")]
        paths = ["/healthcheckx", "/healthcheck/x", "/farm/flower/tasks", "/tasks", "/farm/flower/metrics"]
        refused = [ask(port, path, login=None)[0] for path in paths]
        shown = ask(port, "/farm/flower/tasks")[0]
        checked = subprocess.run(
            [sys.executable, str(ROOT / "infra/docker/health.py"), "flower"],
            env=environment({"FLOWER_PORT": str(port)}),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert set(healthy) == {(200, "OK")}
    assert set(refused) == {401}
    assert shown == 200
    assert (checked.returncode, checked.stdout) == (0, "flower: OK\n")


@pytest.mark.services
def test_a_large_body_of_a_stranger_is_not_read(dashboard: int) -> None:
    with socket.create_connection(("127.0.0.1", dashboard), timeout=30) as link:
        link.sendall(b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 90000000\r\n\r\n")

        answer = link.recv(4096)

    assert answer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.services
def test_without_a_password_a_foreign_name_for_this_host_is_not_answered(settings: Settings, port: int) -> None:
    with started("flower", "--port", str(port), "--no-auth", env=settings.to_env()) as running:
        running.wait_for_line("Flower listens")
        hosts = ["evil.example", f"evil.example:{port}", "10.0.0.1", f"127.0.0.1:{port}", "localhost"]
        statuses = [ask(port, "/tasks", login=None, headers={"Host": host})[0] for host in hosts]

    assert statuses == [401, 401, 401, 200, 200]


@pytest.mark.services
def test_visitors_with_the_password_read_everything_and_change_nothing(dashboard: int) -> None:
    readable = {path: ask(dashboard, path)[0] for path in ["/", "/tasks", "/broker", *DATA]}
    orders = [
        "/api/worker/shutdown/cpu0@here",
        "/api/worker/pool/shrink/cpu0@here",
        "/api/task/revoke/some-id",
        "/api/task/async-apply/reelmill.render",
        "/api/task/send-task/reelmill.render",
    ]
    refused = {path: ask(dashboard, path, data=b"{}")[0] for path in orders}

    assert set(readable.values()) == {200}
    assert set(refused.values()) == {403}


@pytest.mark.services
@pytest.mark.timeout(240)
def test_workers_and_messages_are_shown_in_our_words_and_kept_over_a_restart(
    make_farm: Callable[..., Farm], port: int
) -> None:
    farm = make_farm(renderer="fixed:0.05")
    env = farm.settings.to_env() | {"FLOWER_BASIC_AUTH": LOGIN}
    prompt = 'a <b>bold</b> fox\'s "den" · ünder snow'
    with started("flower", "--port", str(port), env=env) as running:
        running.wait_for_line("Flower listens")
        worker = farm.start()
        (job_id,) = farm.submit("night", [RenderSpec(prompt=prompt, frames=5, profile="tiny")])
        farm.wait_done("night")
        wait_for(lambda: [row for row in rows(port) if row["state"] == "SUCCESS"], what="the finished task in Flower")
        (row,) = rows(port)
        workers = json.loads(ask(port, "/workers?json=1")[1])["data"]
        running.interrupt(signal.SIGTERM)
        status = running.wait()
    with started("flower", "--port", str(port), env=env) as again:
        again.wait_for_line("Flower listens")
        (kept,) = rows(port)
        page = ask(port, f"/task/{job_id}.1")[1]

    assert row["name"] == "reelmill.render"
    assert row["uuid"] == f"{job_id}.1"
    assert row["worker"] == worker.node
    assert (row["batch"], row["seed"], row["prompt"]) == ("night", "1024", prompt)
    assert (row["stage"], row["worker_class"]) == ("rendered", "fixed:0.05")
    assert row["kwargs"] == f"night · seed 1024 · {prompt} · job {job_id} · generation 1"
    assert [(item["hostname"], item["status"]) for item in workers] == [(worker.node, True)]
    assert status == 0
    assert kept == row
    assert "a &lt;b&gt;bold&lt;/b&gt; fox" in page
    assert "<b>bold" not in page


def rows(port: int) -> list[dict[str, object]]:
    """Return the table of tasks as the page fetches it."""
    query = {"draw": 1, "start": 0, "length": 50, "order[0][column]": 0, "columns[0][data]": "name"}
    status, body = ask(port, "/tasks/datatable?" + urllib.parse.urlencode(query))
    return json.loads(body)["data"] if status == 200 else []


@pytest.mark.services
@pytest.mark.parametrize(
    "args",
    [
        pytest.param([], id="on loopback by default"),
        pytest.param(["--address", "0.0.0.0"], id="on every address"),
        pytest.param(["--address", "0.0.0.0", "--no-auth"], id="on every address although told otherwise"),
    ],
)
def test_it_does_not_start_without_a_password(settings: Settings, port: int, args: list[str]) -> None:
    ran = run(settings, "--port", str(port), *args)

    assert ran.status == 78
    assert "set FLOWER_BASIC_AUTH=user:password" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.services
def test_a_configuration_file_may_bring_the_login_and_is_overruled_by_the_command_line(
    settings: Settings, port: int, tmp_path: Path
) -> None:
    conf = tmp_path / "flowerconfig.py"
    conf.write_text(f"basic_auth = [{LOGIN!r}]\nport = 1\nread_only = False\n")

    with started("flower", "--conf", str(conf), "--port", str(port), env=settings.to_env()) as running:
        line = running.wait_for_line("Flower listens")
        statuses = [ask(port, "/tasks", login=login)[0] for login in (None, LOGIN)]

    assert f"127.0.0.1:{port}" in line
    assert statuses == [401, 200]


@pytest.mark.services
def test_a_queue_that_does_not_answer_is_said_at_once(settings: Settings, tmp_path: Path) -> None:
    wrong = {"FLOWER_BASIC_AUTH": LOGIN, "REELMILL_REDIS_URL": f"redis://:x@127.0.0.1:{free_port()}/0"}

    assert run(settings, **wrong).status == 75
    assert run(settings, "--conf", str(tmp_path / "none.py"), FLOWER_BASIC_AUTH=LOGIN).status == 78


def test_arguments_that_are_not_a_renders_are_shown_as_they_came() -> None:
    cut = Task(uuid="1", name="reelmill.render", kwargs="{'job_id': 'abc', 'label': 'a fo...")
    other = Task(uuid="2", name="celery.ping", kwargs="{}")
    older = Task(uuid="3", name="reelmill.render", kwargs="{'job_id': 'abc'}")

    assert [format_task(task).kwargs for task in (cut, other, older)] == [cut.kwargs, "{}", "{'job_id': 'abc'}"]


@pytest.mark.parametrize(
    ("address", "no_auth"),
    [
        pytest.param("127.0.0.1", False, id="loopback, not told otherwise"),
        pytest.param("", True, id="every address"),
        pytest.param("::", True, id="every address, IPv6"),
        pytest.param("192.168.7.7", True, id="a network"),
        pytest.param("flower.example.org", True, id="a name that may be anything"),
    ],
)
def test_strangers_are_kept_out(address: str, no_auth: bool) -> None:
    with pytest.raises(InvalidSettings, match="FLOWER_BASIC_AUTH"):
        require_auth(address, has_auth=False, no_auth=no_auth)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.53", "::1", "localhost"])
def test_no_password_is_needed_on_loopback_when_somebody_says_so(address: str) -> None:
    require_auth(address, has_auth=False, no_auth=True)


@pytest.mark.parametrize("login", ["", "me", "me:", ":secret"])
def test_a_login_needs_both_halves_and_is_never_repeated(login: str) -> None:
    with pytest.raises(InvalidSettings, match="not user:password") as caught:
        check_login(login)

    assert "secret" not in str(caught.value).replace("me:secret", "")


def test_users_come_from_a_file_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("# who may look\n\n  day:one  \nnight:two\n")

    assert read_users(path) == ["day:one", "night:two"]


def test_a_file_of_users_that_names_nobody_is_refused(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("# nobody yet\n")

    for path in (tmp_path / "users", tmp_path / "missing"):
        with pytest.raises(InvalidSettings, match=r"--users-file .*(names nobody|cannot be read)"):
            read_users(path)
