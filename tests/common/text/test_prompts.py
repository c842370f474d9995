from __future__ import annotations

import pytest

from reelmill_common.jobs import (
    RenderSpec,
)


def test_a_prompt_is_cleaned_as_the_model_reads_it() -> None:
    assert RenderSpec(prompt="  a fox &amp;amp;\n\t an owl, itâ€™s late ").prompt == "a fox & an owl, it's late"


@pytest.mark.parametrize(
    "prompt",
    ["a <b> &amp;amp;amp;lt; c", "AT&amp;amp;amp;amp;amp;T <3", "\u00e9\u00a0\u00c3\u00a9", "&amp;amp;amp;#27; z"],
)
def test_a_prompt_is_as_clean_as_it_gets_the_first_time(prompt: str) -> None:
    spec = RenderSpec(prompt=prompt)

    assert RenderSpec.from_json(spec.to_json()) == spec
