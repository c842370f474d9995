"""Counting a prompt's tokens as the text encoder will see them, without torch: a producer can refuse a prompt early."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from reelmill_common.errors import InvalidModel, PromptTooLong
from reelmill_common.profiles import MAX_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounter:
    """A model's tokenizer with its limit.

    A prompt over the limit is refused, never cut: what falls off the end of a long prompt is not seen by the model,
    and that shows only in the finished clip.

    Attributes:
        limit: Most tokens, including the end mark.
    """

    tokenizer: Tokenizer
    limit: int = MAX_TOKENS

    @classmethod
    def open(cls, path: Path) -> TokenCounter:
        """Open a `tokenizer.json` (of a model folder: `tokenizer/tokenizer.json`).

        Raises:
            InvalidModel: The file is absent or not a tokenizer.
        """
        if not path.is_file():
            raise InvalidModel(
                f"{path} is missing; a fast tokenizer is needed (AutoTokenizer.from_pretrained(…).save_pretrained(…))"
            )
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as err:
            raise InvalidModel(f"{path} is not a tokenizer file: {err}; download it again") from err
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return cls(tokenizer=tokenizer)

    def count(self, prompt: str) -> int:
        """Return how many tokens a cleaned prompt has, the end mark included."""
        return len(self.tokenizer.encode(prompt).ids)

    def ids(self, prompt: str) -> list[int]:
        """Return the token ids of a cleaned prompt, the end mark included.

        Raises:
            PromptTooLong: There are more than `limit`; the message says where the prompt would be cut.
        """
        encoded = self.tokenizer.encode(prompt)
        if len(encoded.ids) <= self.limit:
            return encoded.ids
        # One position belongs to the end mark, so the last token that fits is number limit - 1.
        cut = encoded.offsets[self.limit - 2][1]
        raise PromptTooLong(
            f"prompt has {len(encoded.ids)} tokens, the text encoder takes {self.limit} with the end mark; "
            f"shorten it: it would be cut after {prompt[max(0, cut - 40) : cut]!r} (character {cut} of {len(prompt)})"
        )
