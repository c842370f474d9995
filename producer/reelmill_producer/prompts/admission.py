"""Admission: the check of a prompt's length in tokens, where the model's tokenizer is available, and of tiny's words.

Without it the 8,192 characters of `limits.MAX_PROMPT_CHARS` bound a prompt here, and the worker refuses the rest as
`prompt_too_long`. A prompt is never cut.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from reelmill_common.jobs import RenderSpec
from reelmill_common.profiles import MAX_TOKENS, TINY
from reelmill_common.settings import Settings
from reelmill_common.text.tiny_vocabulary import unknown_in

if TYPE_CHECKING:
    from reelmill_common.text.tokens import TokenCounter

_MARKS = 2
"""Tokens beside the text: the end mark, and the space that the tokenizer puts before the first word."""


_NAMED = 5
"""Unknown words that a note names."""
_KEPT = 1000
"""Unknown words that are counted."""


@dataclass(slots=True)
class PromptCheck:
    """Refuses prompts that are too long for their profile's text encoder, and collects words that tiny did not learn.

    Attributes:
        settings: The settings that say where models are.
        profile: The profile of the model in `settings.model_dir`, if that is set.
    """

    settings: Settings
    profile: str
    _counters: dict[str, TokenCounter | None] = field(default_factory=dict[str, "TokenCounter | None"])
    _unknown: dict[str, None] = field(default_factory=dict[str, None])

    def __call__(self, spec: RenderSpec) -> None:
        """Check one spec.

        Raises:
            PromptTooLong: The prompt has more tokens than the text encoder takes.
        """
        if spec.profile == TINY and len(self._unknown) < _KEPT:
            self._unknown.update(dict.fromkeys(unknown_in(spec.prompt)))
        if spec.prompt.isascii() and len(spec.prompt) + _MARKS <= MAX_TOKENS:
            return  # each token is at least one character
        if spec.profile not in self._counters:
            self._counters[spec.profile] = _counter(_tokenizer(self.settings, spec.profile, self.profile))
        counter = self._counters[spec.profile]
        if counter is not None:
            counter.ids(spec.prompt)

    def note(self) -> str:
        """Return what to tell people of the words that tiny did not learn; empty if there are none."""
        unknown = list(self._unknown)
        if not unknown:
            return ""
        named = [f"`{word[:30]}`" for word in unknown[:_NAMED]]
        if len(unknown) > _NAMED:
            named.append(f"{min(len(unknown), _KEPT) - _NAMED:,}{'+' * (len(unknown) >= _KEPT)} more")
        text = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
        return (
            f"{text} {'is' if len(unknown) == 1 else 'are'} not among the words that tiny learned; it knows coloured "
            "things, floors, motions and times of day: docs/qad.md"
        )


def _tokenizer(settings: Settings, profile: str, served: str) -> Path:
    own = settings if profile == served else replace(settings, model_dir="")
    return own.model_folder(profile) / "tokenizer" / "tokenizer.json"


def _counter(path: Path) -> TokenCounter | None:
    if not path.is_file():
        return None
    from reelmill_common.text.tokens import TokenCounter  # noqa: PLC0415 - most commands need no tokenizer

    return TokenCounter.open(path)
