"""Names of rows without an id: made of their content alone, so that no other row of a file changes them."""

from __future__ import annotations

from reelmill_common.jobs import RenderSpec
from reelmill_common.profiles import PROFILES
from reelmill_common.text.names import joined, keywords


def row_name(spec: RenderSpec) -> str:
    """Return the readable name of a row without an id: its prompt, what is unusual, and its seed."""
    profile = PROFILES[spec.profile]
    unusual = [
        f"{spec.frames}f" if spec.frames != profile.default_frames else "",
        f"{spec.width}x{spec.height}" if (spec.width, spec.height) != profile.default_size else "",
        f"{spec.fps}fps" if spec.fps != profile.fps else "",
        spec.sampler if spec.sampler != "dmd3" else "",
        spec.decoder if spec.decoder != "tiny" else "",
    ]
    return joined("", [keywords(spec.prompt) or "clip", *filter(None, unusual)], f"s{spec.seed}")
