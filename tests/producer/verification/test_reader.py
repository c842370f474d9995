"""What is read of a file: its kind by its content, some frames of however many, and nothing beyond the limits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import pytest
from PIL import Image

from producer.verification_steps import FRAMES, clouds, write
from reelmill_common.provenance.fingerprint import NUMBERS
from reelmill_producer.verification.reader import KEPT, MOST_RECIPE, _facts, frame_looks, signature


def test_a_video_is_looked_at_in_frames_of_all_of_it(tmp_path: Path) -> None:
    found = frame_looks(write(tmp_path / "clip.mp4", 1))

    assert found["frames"] == min(FRAMES, KEPT)
    assert {len(one) for hashes in found["looks"].values() for one in hashes} == {NUMBERS}


def test_a_picture_is_a_video_of_one_frame(tmp_path: Path) -> None:
    Image.fromarray(clouds(1)[3][:96]).save(tmp_path / "shot.png")

    assert frame_looks(tmp_path / "shot.png")["frames"] == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nclip.mp4\n#EXT-X-ENDLIST\n"),
        ("list", "ffconcat version 1.0\nfile clip.mp4\n"),
    ],
)
def test_a_playlist_is_not_followed_to_another_file(tmp_path: Path, name: str, text: str) -> None:
    write(tmp_path / "clip.mp4", 1)
    (tmp_path / name).write_text(text)

    found = frame_looks(tmp_path / name)

    assert (found["frames"], found["looks"]) == (0, {})
    assert found["error"]


def test_a_video_that_changes_its_size_is_looked_at_in_the_first_one(tmp_path: Path) -> None:
    parts = list[bytes]()
    for size in ((160, 96), (96, 64)):
        with av.open(str(tmp_path / "part.ts"), "w") as part:
            stream = part.add_stream("mpeg2video", rate=16)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            for _ in range(3):
                part.mux(stream.encode(av.VideoFrame(*size, "yuv420p")))
            part.mux(stream.encode(None))
        parts.append((tmp_path / "part.ts").read_bytes())
    (tmp_path / "whole.ts").write_bytes(b"".join(parts))

    found = frame_looks(tmp_path / "whole.ts")

    assert found["frames"] > 3
    assert "error" not in found


def test_whatever_form_a_signer_chose_for_the_assertions_is_read() -> None:
    hostile = [None, "x", {"label": 1}, {"label": "c2pa.actions", "data": [{"actions": 1}]}]
    recipe = {"label": "org.reelmill.recipe", "data": {"spec": "x" * (MOST_RECIPE + 1)}}
    manifest = {"assertions": [*hostile, recipe], "claim_generator_info": [7], "title": ["x"]}

    found = _facts({"manifests": {"one": manifest}, "active_manifest": "one"}, "Valid")

    assert (found["state"], found["title"], found["generator"], found["recipe"]) == ("valid", "", "", None)


def test_a_file_that_can_bear_no_manifest_has_none(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("nothing of the kind")

    assert signature(tmp_path / "text", "") == {"state": "none"}


def test_a_reader_writes_no_file_and_takes_no_more_memory_than_it_may(tmp_path: Path) -> None:
    script = (
        "from reelmill_producer.verification.reader import _limit; import resource; _limit();"
        "print([resource.getrlimit(one)[0] for one in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE)])"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert json.loads(done.stdout) == [3 << 30, 0]
