"""What is read of a file: its kind by its content, some frames of however many, and nothing beyond the limits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from PIL import Image

from producer.verification_steps import FRAMES, clouds, write
from reelmill_common.provenance.fingerprint import NUMBERS
from reelmill_producer.verification.reader import KEPT, frame_looks, signature


def test_a_video_is_looked_at_in_frames_of_all_of_it(tmp_path: Path) -> None:
    found = frame_looks(write(tmp_path / "clip.mp4", 1))

    assert found["frames"] == min(FRAMES, KEPT)
    assert {len(one) for hashes in found["looks"].values() for one in hashes} == {NUMBERS}


def test_a_picture_is_a_video_of_one_frame(tmp_path: Path) -> None:
    Image.fromarray(clouds(1)[3][:96]).save(tmp_path / "shot.png")

    assert frame_looks(tmp_path / "shot.png")["frames"] == 1


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
