from __future__ import annotations

import pytest

from reelmill_worker.pipeline.network.plan import (
    gpu_facts,
)


@pytest.mark.parametrize(
    ("name", "arch"),
    [
        ("NVIDIA GeForce RTX 3060 Ti", "sm86"),
        ("NVIDIA RTX A4000", "sm86"),
        ("A10G", "sm86"),
        ("A30", "sm80"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "sm89"),
        ("NVIDIA RTX 5000 Ada Generation", "sm89"),
        ("NVIDIA L40", "sm89"),
        ("rtx 5080", "sm120"),
    ],
)
def test_the_cards_that_people_have_are_known_by_the_drivers_names(name: str, arch: str) -> None:
    assert gpu_facts(name).arch == arch
