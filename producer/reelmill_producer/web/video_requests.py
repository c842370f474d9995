"""Video requests: what `POST /v1/videos` asks for, read into the spec of a job."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, cast

from fastapi import Request
from starlette.datastructures import UploadFile

from reelmill_common.errors import InvalidJob, PromptTooLong
from reelmill_common.gpus import profile_here
from reelmill_common.job_fields.foreign_fields import FOREIGN_FIELDS, check_foreign_fields
from reelmill_common.job_fields.metadata import check_metadata, metadata_text
from reelmill_common.jobs import RenderSpec
from reelmill_common.profiles import PROFILES, Profile
from reelmill_common.settings import Settings
from reelmill_common.text.suggestions import did_you_mean, nearest
from reelmill_producer.prompts.admission import PromptCheck
from reelmill_producer.prompts.files import row_of_mapping
from reelmill_producer.web.openai_errors import Unable
from reelmill_producer.web.problems import Refusal

MOST_BYTES = 1_000_000
"""Bytes of a body of JSON: a prompt has at most 8,192 characters."""
MOST_FIELDS = 64
NEAR_S = 0.1
"""How far the length of a clip may be from the seconds that name it: 81 frames at 16 a second are 5 seconds."""

SPEC = tuple(item.name for item in fields(RenderSpec) if item.name != "profile")
KNOWN = (*SPEC, "num_frames", "size", "seconds", "model", "metadata", "extra")
IMAGES = ("input_reference", "image_reference", "image", "image_url", "video", "input_video", "video_url", "audio")

_IN_BRACKETS = re.compile(r"(metadata|extra)\[([^\]]+)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoRequest:
    """A video that is asked for.

    Attributes:
        spec: What to render.
        has_seed: Whether the seed was asked for; else it is the default, and to be replaced.
        metadata: What is kept beside it.
    """

    spec: RenderSpec
    has_seed: bool
    metadata: Mapping[str, str]


async def body_of(request: Request) -> dict[str, Any]:
    """Return the fields of a body, JSON or a form.

    Raises:
        Refusal: 400: it cannot be read; 413: it is too large; 415: its type is not known.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        form = await request.form(max_files=4, max_fields=MOST_FIELDS, max_part_size=MOST_BYTES)
        try:
            return _unbracketed({name: value for name, value in form.multi_items() if value != ""})
        finally:
            await form.close()
    if kind not in ("application/json", ""):
        raise Refusal(415, f"Content-Type {kind[:60]!r} is not known; send JSON, or multipart/form-data")
    text = bytearray()
    async for piece in request.stream():
        text += piece
        if len(text) > MOST_BYTES:
            raise Refusal(413, f"a request has at most {MOST_BYTES:,} bytes; shorten the prompt")
    try:
        value = json.loads(bytes(text))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Refusal(400, 'the body is not an object of JSON; send for example {"prompt": "a fox in the snow"}')
    return cast("dict[str, Any]", value)


def _unbracketed(form: Mapping[str, Any]) -> dict[str, Any]:
    """Return a form with objects where it has the names of their members, as in `metadata[shot]`, or their JSON."""
    found: dict[str, Any] = {}
    for name, value in form.items():
        if part := _IN_BRACKETS.fullmatch(name):
            found.setdefault(part[1], {})[part[2]] = value
        elif name in ("metadata", "extra") and isinstance(value, str):
            try:
                found[name] = json.loads(value)
            except (ValueError, RecursionError):
                raise Unable(name, f"{name} is not an object of JSON", code="invalid_type") from None
        else:
            found[name] = value
    return found


def read_request(body: Mapping[str, Any], settings: Settings) -> VideoRequest:
    """Return what a body asks for.

    Raises:
        Unable: The model cannot do something of it; the message names the nearest value.
    """
    given = {**_object(body, "extra"), **{name: value for name, value in body.items() if name != "extra"}}
    given = {name: value for name, value in given.items() if value is not None}
    metadata = {str(name): metadata_text(value) for name, value in _object(given, "metadata").items()}
    _refuse_unknown(given)
    profile = profile_of(given, settings)
    values = {name: given[name] for name in (*SPEC, "num_frames", "size") if name in given}
    if "seconds" in given:
        if "num_frames" in given or "frames" in given:
            raise Unable("seconds", "seconds and num_frames are both given; use one of them")
        values["frames"] = frames_of(given["seconds"], given.get("fps"), profile)
    try:
        spec = row_of_mapping({**values, "profile": profile.name}).spec
        check_metadata(metadata)
        PromptCheck(settings, profile.name)(spec)
    except PromptTooLong as err:
        raise Unable("prompt", str(err), code=err.code) from None
    except InvalidJob as err:
        raise Unable(_param(str(err), given), str(err), code=err.code) from None
    return VideoRequest(spec=spec, has_seed="seed" in values, metadata=metadata)


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Unable(name, f"{name} is not an object of JSON", code="invalid_type")
    return cast("dict[str, Any]", value)


def _refuse_unknown(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if name in IMAGES or isinstance(value, UploadFile):
            raise Unable(name, f"{name[:40]}: the model makes videos from a prompt alone; leave it out")
        if name in FOREIGN_FIELDS:
            try:
                check_foreign_fields({name: value}, f"Leave {name} out")
            except InvalidJob as err:
                raise Unable(name, str(err)) from None
        elif name not in KNOWN:
            asked = did_you_mean(name, KNOWN)
            raise Unable(
                name[:40],
                f"unknown parameter {name[:40]!r}; {asked}known are {', '.join(KNOWN)}; what should be kept beside the "
                "video belongs into metadata",
                code="unknown_parameter",
            )


def profile_of(given: Mapping[str, Any], settings: Settings) -> Profile:
    """Return the profile that `model` names: by our name for it, or by that of its repository.

    Raises:
        Unable: There is no such model here.
    """
    asked = given.get("model") or profile_here(settings)
    for profile in PROFILES.values():
        if asked in (profile.name, profile.repo):
            return profile
    text, default = str(asked)[:60], profile_here(settings)
    use = nearest(text, PROFILES) or default
    raise Unable("model", f"model {text!r} is not served here; use {use!r}", status=404, code="model_not_found")


def frames_of(seconds: object, fps: object, profile: Profile) -> int:
    """Return the length that so many seconds mean.

    Raises:
        Unable: There is no such length.
    """
    try:
        rate = int(str(fps)) if fps is not None else profile.fps
        asked = float(str(seconds))
    except ValueError:
        raise Unable("seconds", f"seconds={str(seconds)[:40]!r} is not a number", code="invalid_type") from None
    rate = rate if rate > 0 else profile.fps  # which is refused later, by its own name
    best = min(profile.lengths, key=lambda frames: abs(frames / rate - asked))
    if not abs(best / rate - asked) <= NEAR_S:  # also what is not a number
        menu = ", ".join(seconds_text(frames, rate) for frames in profile.lengths)
        raise Unable(
            "seconds",
            f"seconds={str(seconds)[:40]} is not on the menu of {profile.name} ({menu}); "
            f"use {seconds_text(best, rate)}",
        )
    return best


def seconds_text(frames: int, fps: int) -> str:
    """Return the length of a clip in seconds: whole where it nearly is."""
    length = frames / fps
    return str(round(length)) if abs(length - round(length)) <= NEAR_S and round(length) else f"{length:.2f}"


def _param(message: str, given: Mapping[str, Any]) -> str:
    """Return the field that a message is about."""
    if re.match(r"[0-9]+x[0-9]+ is not", message) or message.startswith(("width", "height")):
        return "size" if "size" in given else "width"
    name = re.match(r"\w*", message)
    first = name[0] if name else ""
    if first == "frames":
        return next((known for known in ("seconds", "num_frames") if known in given), "frames")
    return first if first in KNOWN else "prompt"
