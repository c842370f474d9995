"""Video requests: the menu of the model, and the names of what it cannot do."""

from __future__ import annotations

import pytest

from reelmill_common.errors import ReelmillError
from reelmill_common.profiles import PROFILES
from reelmill_common.settings import Settings
from reelmill_producer.web.openai_errors import Unable
from reelmill_producer.web.video_requests import frames_of, read_request, seconds_text

FOX = "a red fox in the snow"
TINY_SIZES = "1280x720 is not on the menu of tiny (128x80, 80x128); use 128x80"


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        pytest.param({"size": "1280x720"}, "size", TINY_SIZES, id="size"),
        pytest.param({"size": "big"}, "size", "is not WIDTHxHEIGHT; use for example 832x480", id="no size"),
        pytest.param({"seconds": "8"}, "seconds", "seconds=8 is not on the menu of tiny", id="seconds"),
        pytest.param({"seconds": "8"}, "seconds", "use 5", id="nearest seconds"),
        pytest.param({"seconds": "nan"}, "seconds", "seconds=nan", id="no number"),
        pytest.param({"seconds": "1e999"}, "seconds", "seconds=1e999", id="endless"),
        pytest.param({"num_frames": 82}, "num_frames", "frames=82 is not 4k + 1; use 81", id="frames"),
        pytest.param({"seconds": "5", "num_frames": 81}, "seconds", "both given", id="two lengths"),
        pytest.param({"seed": -1}, "seed", "seed=-1", id="seed"),
        pytest.param({"prompt": ""}, "prompt", "prompt is empty", id="no prompt"),
        pytest.param({"prompt": "x" * 9000}, "prompt", "use at most 8192", id="long prompt"),
        pytest.param({"prompt": ["a", "b"]}, "prompt", "is not text", id="prompt of another type"),
        pytest.param({"input_reference": {"image_url": "x"}}, "input_reference", "from a prompt alone", id="image"),
        pytest.param(
            {"negative_prompt": "blurry"}, "negative_prompt", "classifier-free guidance", id="negative prompt"
        ),
        pytest.param({"num_inference_steps": 50}, "num_inference_steps", "distilled for 3 steps", id="steps"),
        pytest.param({"sede": 3}, "sede", "did you mean 'seed'?", id="unknown"),
        pytest.param({"metadata": "x"}, "metadata", "metadata is not an object of JSON", id="metadata"),
        pytest.param({"extra": {"frames": 6}}, "frames", "frames=6 is not 4k + 1", id="inside extra"),
    ],
)
def test_what_the_model_cannot_do_is_refused_by_name(fields: dict[str, object], param: str, said: str) -> None:
    with pytest.raises(Unable) as refused:
        read_request({"prompt": FOX, "model": "tiny", **fields}, Settings())

    assert (refused.value.status_code, refused.value.fields["param"]) == (400, param)
    assert said in refused.value.detail


@pytest.mark.parametrize(
    ("frames", "text"), [(33, "2"), (49, "3"), (61, "3.81"), (77, "4.81"), (81, "5"), (5, "0.31"), (17, "1")]
)
def test_a_length_is_named_in_seconds_and_asked_for_by_that_name(frames: int, text: str) -> None:
    assert seconds_text(frames, 16) == text
    assert frames_of(text, None, PROFILES["tiny"]) == frames


def test_all_that_a_spec_has_can_be_asked_for_beside_or_inside_extra() -> None:
    settings = Settings(profile="tiny")
    fields = {"seed": 9, "num_frames": 17, "fps": 8, "size": "80x128", "sampler": "unipc3", "decoder": "wan"}

    beside = read_request({"prompt": FOX, **fields}, settings)
    inside = read_request({"prompt": FOX, "extra": fields}, settings)

    spec = beside.spec
    assert beside == inside
    assert (spec.seed, spec.frames, spec.fps, spec.width, spec.sampler, spec.decoder) == (9, 17, 8, 80, "unipc3", "wan")
    assert beside.has_seed
    assert not read_request({"prompt": FOX, "seed": None}, settings).has_seed


def test_a_model_is_known_by_its_profile_and_its_repository() -> None:
    for name in ("fastwan-qad-fp8", "FastVideo/FastWan-QAD-FP8-1.3B"):
        assert read_request({"prompt": FOX, "model": name}, Settings()).spec.profile == "fastwan-qad-fp8"


def test_any_body_is_read_or_refused_and_never_a_bug() -> None:
    odd: list[object] = [None, True, -1, 1.5, 10**400, "", " ", "x\0", "\ud800", [], [1], {}, {"a": {"b": []}}, "NaN"]
    names = ["prompt", "model", "size", "seconds", "seed", "fps", "num_frames", "metadata", "extra", "width", "decoder"]
    refused = 0
    for name in names:
        for value in odd:
            try:
                read_request({"prompt": FOX, "model": "tiny", name: value}, Settings())
            except (Unable, ReelmillError):
                refused += 1

    assert refused > 60
