from __future__ import annotations

from pathlib import Path

import pytest

from reelmill_common.errors import InvalidSettings
from reelmill_common.settings import Settings
from reelmill_common.storage import open_store
from reelmill_common.storage.s3 import S3Store


def test_without_a_url_clips_go_to_the_state_folder(tmp_path: Path) -> None:
    store = open_store(Settings(state_dir=tmp_path))

    store.put("night/fox.mp4", b"clip", content_type="video/mp4")

    assert (tmp_path / "clips/night/fox.mp4").read_bytes() == b"clip"


def test_a_folder_url_is_percent_decoded(tmp_path: Path) -> None:
    store = open_store(Settings(store_url=f"file://{tmp_path}/my%20clips"))

    store.put("night/fox.mp4", b"clip", content_type="video/mp4")

    assert (tmp_path / "my clips/night/fox.mp4").read_bytes() == b"clip"


@pytest.mark.parametrize("url", ["s3://clips/tonight/", "s3://clips/tonight"])
def test_an_s3_url_names_bucket_and_prefix(url: str) -> None:
    store = open_store(Settings(store_url=url))

    assert isinstance(store, S3Store)
    assert (store.place.bucket, store.place.prefix) == ("clips", "tonight/")


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        pytest.param("file://clips", "three slashes", id="relative folder"),
        pytest.param("s3:///tonight", "s3://bucket/prefix", id="no bucket"),
        pytest.param("s3://clips/a/../b", "without '.'", id="prefix that climbs"),
        pytest.param("s3://clips/a//b", "without '.'", id="empty part"),
        pytest.param("gs://clips", "use file:///folder or s3://", id="another scheme"),
        pytest.param("s3://key:hunter2@clips", "AWS_SECRET_ACCESS_KEY", id="secret in the URL"),
    ],
)
def test_a_wrong_url_is_refused_with_advice(url: str, advice: str) -> None:
    with pytest.raises(InvalidSettings, match=advice) as caught:
        open_store(Settings(store_url=url))

    assert "hunter2" not in str(caught.value)
