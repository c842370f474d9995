from __future__ import annotations

import socket
import threading
import time

import pytest

from reelmill_common.config.egress import EgressPolicy
from reelmill_common.notify import http_client


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="says nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100, id="drips its headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"z" * 100, id="drips its body"),
    ],
)
def test_a_receiver_that_never_ends_is_left_in_time(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "WHOLE_S", 0.6)
    stopping = threading.Event()

    def drip() -> None:
        taken, _ = server.accept()
        with taken:
            taken.sendall(answer[:40])
            for byte in answer[40:]:
                if stopping.wait(0.2):
                    return
                try:
                    taken.sendall(bytes([byte]))
                except OSError:
                    return
            stopping.wait()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        started = time.monotonic()
        policy = EgressPolicy.parse("127.0.0.1", plain_http=True)
        with pytest.raises(http_client.NotDelivered, match=r"no whole answer within 0\.6 s"):
            http_client.post(url, {}, b"{}", policy)
        took_s = time.monotonic() - started
        stopping.set()
        thread.join()

    assert took_s < 10
