"""The tiny model's tokenizer: made offline, of the kind that UMT5 has, with every byte as a last resort."""

from __future__ import annotations

import math
import string
from collections import Counter
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from reelmill_common.profiles import MAX_TOKENS
from reelmill_worker.pipeline.checkpoint.layout import write_json

SPECIAL = ("<pad>", "</s>", "<s>", "<unk>")
"""In UMT5's order: padding is 0, the end mark 1."""
WORD_MARK = "▁"

CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "model_max_length": MAX_TOKENS,
    **dict(zip(("pad_token", "eos_token", "bos_token", "unk_token"), SPECIAL, strict=True)),
}
"""What `AutoTokenizer` reads beside the tokenizer."""

CORPUS = """
a red fox trots through fresh snow at dawn while mist rises from the river and the camera follows slowly
an old lighthouse keeper climbs the spiral stairs holding a lantern as waves crash against the rocks below
the city at night in the rain with neon signs reflected on the wet street and people walking under umbrellas
close shot of a potter shaping clay on a wheel with soft window light and dust floating in the air
aerial view over green hills with a train crossing a stone bridge under a cloudy sky in autumn
two children run along the beach with a kite in the wind and the sun sets over the sea in warm colours
"""
"""Text of our own, only to have some whole words among the pieces."""


def write_tokenizer(folder: Path) -> int:
    """Write the tokenizer's files and return the size of its vocabulary."""
    pieces = _pieces()
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=SPECIAL.index("<unk>"), byte_fallback=True))
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=WORD_MARK, prepend_scheme="always")
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(replacement=WORD_MARK, prepend_scheme="always")]
    )
    save_tokenizer(tokenizer, folder)
    return len(pieces)


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Let a tokenizer end each text with the end mark, and write its files."""
    end = SPECIAL[1]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {end}", special_tokens=[(end, 1)])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", CONFIG)


def _pieces() -> list[tuple[str, float]]:
    """Return every piece with its log probability, by counting: training would depend on the order of threads."""
    counted = Counter(CORPUS.split())
    total = sum(counted.values())
    found = {WORD_MARK + word: math.log(count / total) for word, count in counted.items()}
    letters = dict.fromkeys(string.ascii_letters + string.digits + string.punctuation, -8.0)
    starts = {WORD_MARK + char: -9.0 for char in string.ascii_lowercase}
    known = {WORD_MARK: -6.0} | letters | starts | found
    raw = [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    return [(piece, 0.0) for piece in SPECIAL] + raw + sorted(known.items())
