"""Renders as files: whichever file a full disk has no room for, the attempt ends, and nothing stays on the disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.bench import Bench
from fixtures.disk import fill
from reelmill_common.errors import RenderFailed
from reelmill_worker.child.renderer import FixedDurationRenderer


@pytest.mark.parametrize("lacks", ["clip.mp4", "poster.jpg", "preview.webp"])
def test_a_clip_that_the_disk_has_no_room_for_leaves_nothing_there(
    make_bench: Callable[..., Bench], small_spool: Path, lacks: str
) -> None:
    bench = make_bench(preview="webp")
    claimed = bench.claim()
    rendering = FixedDurationRenderer(seconds=0).render(claimed.spec, lambda _stage: None)
    written = bench.publisher.writer.write(claimed, rendering)
    sizes = {path.name: path.stat().st_blocks * 512 for path in written.folder.iterdir()}
    shutil.rmtree(written.folder)
    fill(small_spool, but_bytes=sum(size for name, size in sizes.items() if name < lacks))

    with pytest.raises(RenderFailed, match="look at the disk of the spool folder"):
        bench.publisher.writer.write(claimed, rendering)

    assert [path.name for path in small_spool.iterdir()] == ["ballast"]
