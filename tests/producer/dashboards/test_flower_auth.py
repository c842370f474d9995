"""The login before all pages of Flower."""

from __future__ import annotations

import base64
import re
import socket
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from flower.urls import handlers

from fixtures.cli import environment, started
from fixtures.deployment import ROOT
from producer.flower_pages import LOGIN, ask
from reelmill_common.settings import Settings

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]


def every_path() -> list[str]:
    """Return a path for each page that Flower's own list names, and some that it does not."""
    patterns = [rule.regex.pattern if hasattr(rule, "regex") else rule[0] for rule in handlers]
    paths = [re.sub(r"\(.*?\)|\.\*", "x", pattern.rstrip("$")).replace("/?", "") for pattern in patterns]
    return [path if path.startswith("/") else f"/{path}" for path in paths] + [
        "/static/js/flower.js",
        "//tasks",
        "/.git",
    ]


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
    wrong = ["night-shift:", "night-shift:wrong", f"nobody:{password}", "ü:ß", b"\xff\xfe", "", LOGIN + " "]
    headers = ["Bearer x", "Basic", "Basic %%%", "Basic YQ", f"Digest {base64.b64encode(LOGIN.encode()).decode()}"]
    refused = [ask(dashboard, "/api/tasks", login=login) for login in wrong]
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
def test_a_large_body_without_a_login_is_not_read(dashboard: int) -> None:
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
