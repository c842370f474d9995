import pytest

from reelmill_worker.pipeline.checkpoint.repository import warnings_of


@pytest.mark.parametrize(
    ("repo", "warned"),
    [
        ("Wan-AI/Wan2.1-T2V-1.3B-Diffusers", True),
        ("someone/wan2.1-anime", True),
        ("FastVideo/FastWan-QAD-FP8-1.3B", False),
        ("FastVideo/FastWan2.1-T2V-1.3B-Diffusers", False),
        ("someone/Wan2.1-4step-lightning", False),
    ],
)
def test_an_undistilled_base_is_warned_of_by_name(repo: str, warned: bool) -> None:
    said = warnings_of(repo, {"num_layers": 30}, [])

    assert bool(said) == warned
    assert not said or "looks like an undistilled base" in said[0]


def test_a_larger_model_of_the_family_is_warned_of() -> None:
    assert "has 40 layers where plans reckon with 30" in warnings_of("a/fastwan-14b", {"num_layers": 40}, [])[0]
