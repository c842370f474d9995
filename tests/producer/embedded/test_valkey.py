"""The embedded server: real, private, and with its data after every kind of end."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import redis

from reelmill_producer.embedded.valkey import ValkeyServer


def test_data_is_there_after_a_kill(own_valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(own_valkey.url) as client:
        client.set("kept", "yes")

    own_valkey.kill()
    again = ValkeyServer.start(own_valkey.folder)

    with redis.Redis.from_url(again.url) as client:
        assert client.get("kept") == b"yes"
    assert again.port == own_valkey.port
    again.stop()


def test_a_second_start_on_the_folder_adopts_the_running_server(own_valkey: ValkeyServer) -> None:
    again = ValkeyServer.start(own_valkey.folder)

    assert again.pid == own_valkey.pid
    assert again.is_alive()


def test_an_adopted_server_can_be_stopped(tmp_path: Path) -> None:
    first = ValkeyServer.start(tmp_path / "v")

    ValkeyServer.start(tmp_path / "v").stop()

    assert not first.is_alive()


def test_the_server_refuses_those_without_the_password(own_valkey: ValkeyServer) -> None:
    with redis.Redis(port=own_valkey.port) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_only_the_owner_can_read_the_password(own_valkey: ValkeyServer) -> None:
    for name in ("password", "valkey.conf"):
        mode = stat.S_IMODE((own_valkey.folder / name).stat().st_mode)

        assert mode == 0o600


def test_the_password_is_not_on_the_command_line(own_valkey: ValkeyServer) -> None:
    password = (own_valkey.folder / "password").read_text()

    assert password.encode() not in Path(f"/proc/{own_valkey.pid}/cmdline").read_bytes()
