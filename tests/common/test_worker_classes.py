from __future__ import annotations

import pytest

from reelmill_common.worker_classes import bits_class, classes_of, gpu_class, lanes_of


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA GeForce RTX 4090", "rtx4090"),
        ("NVIDIA RTX A6000", "a6000"),
        ("NVIDIA L40S", "l40s"),
        ("Quadro", ""),
    ],
)
def test_a_card_has_a_short_name(name: str, short: str) -> None:
    assert gpu_class(name) == short


def test_a_worker_has_its_labels_its_card_its_architecture_and_its_bits() -> None:
    info = {
        "plan": {"gpu": "NVIDIA H100 80GB HBM3", "device": "cuda"},
        "versions": {"torch": "2.13"},
        "gpu_arch": "sm90",
    }

    classes = classes_of(info, ["studio"])

    assert classes == ["studio", "h100", "sm90", bits_class(info)]
    assert lanes_of("tiny", classes)[-1] == "tiny"


def test_another_kernel_is_another_class_of_bits() -> None:
    plan = {"gpu": "NVIDIA H100 80GB HBM3", "attention": "sdpa"}

    assert bits_class({"plan": plan}) != bits_class({"plan": plan | {"attention": "sage"}})
    assert bits_class({"plan": plan | {"reasons": ["why"]}}) == bits_class({"plan": plan})


def test_a_plan_with_padded_prompts_is_another_class_and_one_without_is_as_before_there_was_any() -> None:
    plan = {"gpu": "NVIDIA H100 80GB HBM3", "attention": "sdpa"}

    assert bits_class({"plan": plan | {"text_padding": 64}}) != bits_class({"plan": plan})
    assert bits_class({"plan": plan | {"text_padding": 0}}) == bits_class({"plan": plan})


def test_a_renderer_without_a_model_has_no_class_but_its_labels() -> None:
    assert classes_of({"renderer": "fixed:1"}, ["studio"]) == ["studio"]
