from pathlib import Path

import pytest

from fixtures.checkpoint import change_json
from reelmill_common.errors import InvalidModel
from reelmill_worker.pipeline.checkpoint.weights import ModelFolder


def test_a_config_that_no_class_takes_is_refused(model: Path) -> None:
    change_json(model / "vae" / "config.json", dim_mult="wide")

    with pytest.raises(InvalidModel, match=r"vae/config.json does not describe a AutoencoderKLWan"):
        ModelFolder.open(model)


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        ("transformer", {"num_layers": 1_000_000}, "num_layers=1000000"),
        ("transformer", {"num_attention_heads": 10**12}, "num_attention_heads=1000000000000"),
        ("text_encoder", {"num_layers": 1_000_000}, "text_encoder/config.json has num_layers=1000000"),
        ("vae", {"num_res_blocks": 10**9}, "vae/config.json has num_res_blocks=1000000000"),
        ("vae", {"dim_mult": [1] * 100_000}, "vae/config.json has dim_mult="),
    ],
)
def test_a_configuration_of_absurd_sizes_is_refused_and_not_built(
    part: str, values: dict[str, object], message: str, model: Path
) -> None:
    change_json(model / part / "config.json", **values)

    with pytest.raises(InvalidModel, match=message):
        ModelFolder.open(model)
