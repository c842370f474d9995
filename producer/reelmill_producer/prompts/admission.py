"""Admission: the check of a prompt's length in tokens, where the model's tokenizer is available.

Without it the 8,192 characters of `limits.MAX_PROMPT_CHARS` bound a prompt here, and the worker refuses the rest as
`prompt_too_long`. A prompt is never cut.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from reelmill_common.jobs import RenderSpec
from reelmill_common.profiles import MAX_TOKENS
from reelmill_common.settings import Settings
from reelmill_producer.prompts.files import Admit

if TYPE_CHECKING:
    from reelmill_common.text.tokens import TokenCounter

_MARKS = 2
"""Tokens beside the text: the end mark, and the space that the tokenizer puts before the first word."""


def prompt_check(settings: Settings, profile: str) -> Admit:
    """Return a check that refuses prompts that are too long for their profile's text encoder.

    Args:
        settings: The settings that say where models are.
        profile: The profile of the model in `settings.model_dir`, if that is set.
    """
    counters: dict[str, TokenCounter | None] = {}

    def check(spec: RenderSpec) -> None:
        if spec.prompt.isascii() and len(spec.prompt) + _MARKS <= MAX_TOKENS:
            return  # each token is at least one character
        if spec.profile not in counters:
            counters[spec.profile] = _counter(_tokenizer(settings, spec.profile, profile))
        counter = counters[spec.profile]
        if counter is not None:
            counter.ids(spec.prompt)

    return check


def _tokenizer(settings: Settings, profile: str, served: str) -> Path:
    own = settings if profile == served else replace(settings, model_dir="")
    return own.model_folder(profile) / "tokenizer" / "tokenizer.json"


def _counter(path: Path) -> TokenCounter | None:
    if not path.is_file():
        return None
    from reelmill_common.text.tokens import TokenCounter  # noqa: PLC0415 - most commands need no tokenizer

    return TokenCounter.open(path)
