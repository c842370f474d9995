from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest

from fixtures.page import Page
from fixtures.s3 import S3Server
from reelmill_common.errors import NotFound
from reelmill_common.ledger import Ledger
from reelmill_common.report.write import make
from reelmill_common.settings import Settings
from reelmill_common.storage import open_store


def test_a_sheet_in_a_folder_finds_its_clips(night: Ledger, settings: Settings) -> None:
    store = open_store(settings)
    store.put("night/r0-12345678.mp4", b"MP4", content_type="video/mp4")

    _, key = make(night, store, "night", settings)
    shown = Page(store.get(key).decode())

    sheet = Path(unquote(store.url(key)).removeprefix("file://"))
    clip = str(next(button["data-clip"] for button in shown.all("button")))
    assert (sheet.parent / clip).resolve().read_bytes() == b"MP4"


def test_the_links_of_a_bucket_are_signed_and_end(
    night: Ledger, settings: Settings, nanio_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    nanio_server.let_in(monkeypatch)
    settings = nanio_server.settings(settings)
    store = open_store(settings)

    _, key = make(night, store, "night", settings)
    shown = Page(store.get(key).decode())

    assert all("X-Amz-Signature" in str(button["data-clip"]) for button in shown.all("button"))
    assert "Its links expire" in shown.text


def test_an_unknown_batch_has_no_report(ledger: Ledger, settings: Settings) -> None:
    with pytest.raises(NotFound, match="no batch 'none'"):
        make(ledger, open_store(settings), "none", settings)
