"""Rows that passed their check: each content once, in file order, not in memory."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

from producer.prompt_steps import TINY, check, refused
from reelmill_producer.prompts.files import open_prompt_file


def test_a_long_file_needs_no_memory(tmp_path: Path) -> None:
    with (tmp_path / "night.txt").open("w") as file:
        file.writelines(f"a fox number {number}\n" for number in range(5000))

    tracemalloc.start()
    report = check(tmp_path / "night.txt")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert report.rows == 5000
    assert peak < 500_000  # a list of the jobs takes 1.5 MB


def test_rows_that_repeat_are_one_job_and_counted(tmp_path: Path) -> None:
    (tmp_path / "night.csv").write_text("id,prompt\nfox,a fox\nfox,a  fox\nowl,an owl\n")

    with open_prompt_file(str(tmp_path / "night.csv"), io.BytesIO(), defaults=TINY) as prompts:
        report = prompts.checked()
        jobs = list(prompts.jobs("night"))

    assert (report.rows, report.duplicates) == (2, 1)
    assert [job.row for job in jobs] == ["fox", "owl"]


def test_one_id_with_different_content_is_refused_with_both_lines(tmp_path: Path) -> None:
    message = refused(tmp_path / "night.csv", b"id,prompt\nfox,a fox\nowl,an owl\nfox,a red fox\n")

    assert "line 4: id 'fox' stands in line 2 with different content" in message


def test_only_good_rows_become_jobs(tmp_path: Path) -> None:
    (tmp_path / "night.csv").write_text("id,prompt,seed\nfox,a fox,1\nowl,an owl,-1\nfox,a red fox,1\n")

    with open_prompt_file(str(tmp_path / "night.csv"), io.BytesIO(), defaults=TINY) as prompts:
        jobs = [job.row for job in prompts.jobs("night")]

    assert jobs == ["fox"]


def test_jobs_can_be_read_again(tmp_path: Path) -> None:
    (tmp_path / "night.txt").write_text("a fox\nan owl\n")

    with open_prompt_file(str(tmp_path / "night.txt"), io.BytesIO(), defaults=TINY) as prompts:
        jobs = prompts.jobs("night")

        assert list(jobs) == list(jobs)
