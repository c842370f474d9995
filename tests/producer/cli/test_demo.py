"""`reelmill demo`: clips and a page in one folder, found again the second time."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.cli import program
from fixtures.page import Page

pytestmark = pytest.mark.services


EXAMPLES = Path(__file__).parents[3] / "examples" / "prompts.csv"


def test_the_demo_leaves_clips_and_a_page_and_finds_them_the_second_time(
    embedded_env: dict[str, str], tmp_path: Path
) -> None:
    arguments = ("demo", "--dir", str(tmp_path / "demo"), str(EXAMPLES))

    first = program(*arguments, env=embedded_env)
    again = program(*arguments, env=embedded_env)
    clips = sorted(path.suffix for path in (tmp_path / "demo" / "clips" / "prompts").glob("*-*"))
    shown = Page((tmp_path / "demo" / "index.html").read_text())
    next((tmp_path / "demo" / "clips" / "prompts").glob("ball-????????.mp4")).unlink()
    spoiled = program(*arguments, env=embedded_env)

    assert (first.status, first.out) == (0, f"{tmp_path}/demo/index.html\n")
    assert (again.status, again.out) == (0, first.out)
    assert "nothing new: batch prompts has all 7 jobs already" in again.err
    assert "starting a worker" not in again.err
    assert clips == [".jpg"] * 7 + [".json"] * 7 + [".mp4"] * 7
    links = [*(tag["data-clip"] for tag in shown.all("button")), *(tag["src"] for tag in shown.all("img"))]
    links += [tag["href"] for tag in shown.all("a")]
    assert {str(link).partition("/")[0] for link in links} == {"clips"}  # no server, and the folder may be moved
    assert sorted(Path(str(link)).suffix for link in links) == clips
    assert spoiled.status == 66
    assert "is no longer in" in spoiled.err
