"""Fields of other programs' job lists that a distilled model cannot follow, refused with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reelmill_common.errors import InvalidJob

_STEPS = "the model was distilled for 3 steps, and renders with these alone"
_CFG = "a distilled model renders without classifier-free guidance (CFG), so neither it nor a negative prompt can act"
_SEEDS = "a job is one clip; give several seeds instead (a seeds column such as 0..3, or --seeds 0..3)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignField:
    """A field that cannot be followed.

    Attributes:
        reason: Why it cannot.
        done: Values that ask for what the model does anyway.
    """

    reason: str
    done: tuple[float, ...] = ()


_NEGATIVE = ForeignField(reason=_CFG)
_GUIDANCE = ForeignField(reason=_CFG, done=(0.0, 1.0))
_STEP_COUNT = ForeignField(reason=_STEPS, done=(3.0,))
_CLIPS = ForeignField(reason=_SEEDS, done=(1.0,))

FOREIGN_FIELDS: Mapping[str, ForeignField] = {
    **dict.fromkeys(("negative_prompt", "neg_prompt", "negative_prompts", "prompt_negative"), _NEGATIVE),
    **dict.fromkeys(("guidance_scale", "cfg_scale", "cfg", "true_cfg_scale", "sample_guide_scale"), _GUIDANCE),
    **dict.fromkeys(
        ("num_inference_steps", "inference_steps", "num_steps", "sample_steps", "infer_steps", "steps"), _STEP_COUNT
    ),
    **dict.fromkeys(("num_videos_per_prompt", "num_videos", "num_samples", "n_samples"), _CLIPS),
}
"""By name. An empty value, or one that asks for what the model does anyway, is not refused."""


def check_foreign_fields(values: Mapping[str, object], advice: str = "Leave them out") -> None:
    """Refuse values that ask for what the model cannot do.

    Args:
        values: Values by name; names outside `FOREIGN_FIELDS` are ignored.
        advice: What to do, as the beginning of a sentence.

    Raises:
        InvalidJob: The message has each reason once.
    """
    asked: dict[str, list[str]] = {}
    for name in values.keys() & FOREIGN_FIELDS.keys():
        field, value = FOREIGN_FIELDS[name], values[name]
        text = "" if value is None else str(value).strip()
        if text and _number(text) not in field.done:
            asked.setdefault(field.reason, []).append(f"{name}={text[:40]!r}")
    if asked:
        reasons = "; ".join(f"{' and '.join(sorted(names))}: {reason}" for reason, names in sorted(asked.items()))
        raise InvalidJob(f"not possible here: {reasons}. {advice}")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
