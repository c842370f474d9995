"""Values of settings: what each may be, and how it is read from its variable."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

from reelmill_common.calendar.windows import Windows
from reelmill_common.config.login_urls import LoginUrl
from reelmill_common.config.redis_address import RedisAddress
from reelmill_common.egress import EgressPolicy
from reelmill_common.errors import InvalidJob
from reelmill_common.jobs import check_name
from reelmill_common.profiles import PROFILES

ChecksumMode = Literal["auto", "when_supported", "when_required"]
Addressing = Literal["auto", "path", "virtual"]
Encryption = Literal["", "AES256", "aws:kms", "aws:kms:dsse"]
LogFormat = Literal["auto", "json", "text"]
EmbeddingCache = Literal["off", "redis", "store"]
Ahead = Literal["auto", "on", "off"]
Reports = Literal["auto", "off"]
Numa = Literal["auto", "off"]
ReuseIndex = Literal["on", "off"]
KeepLogs = Literal["failed", "all", "off"]
MetricsScope = Literal["worker", "farm"]
NotifyScheme = Literal["https", "http"]
Preview = Literal["off", "webp"]
FlowerPrompts = Literal["cut", "hide"]


def _number(kind: Callable[[str], float], low: float, high: float) -> Callable[[str], Any]:
    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise ValueError(f"is not a {'whole ' if kind is int else ''}number from {low} to {high}")
        return value

    return parse


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"is not one of {', '.join(choices)}")
        return text

    return parse


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        scheme, found, rest = text.partition("://")
        if scheme not in schemes or not found or not rest:
            raise ValueError(f"is not a URL that starts with {' or '.join(s + '://' for s in schemes)}")
        return text

    return parse


def _farm(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", text):
        raise ValueError("is not a farm name; use 1 to 32 of a-z 0-9 -")
    return text


def _renderer(text: str) -> str:
    if not re.fullmatch(r"model|fixed:[0-9]+(\.[0-9]+)?(:broken)?", text):
        raise ValueError("is neither model nor fixed:SECONDS (for example fixed:0.05)")
    return text


def _window(text: str) -> str:
    try:
        return Windows.parse(text).text
    except InvalidJob as err:
        raise ValueError(f"is not a valid window: {err}") from err


def labels_of(text: str) -> list[str]:
    """Return the labels in `worker_labels`. Raises `InvalidJob`."""
    labels = [label.strip() for label in text.split(",") if label.strip()]
    for label in labels:
        check_name("label", label)
    return labels


def _labels(text: str) -> str:
    try:
        return ",".join(labels_of(text))
    except InvalidJob as err:
        raise ValueError(f"does not name classes: {err}") from err


def _allowed(text: str) -> str:
    EgressPolicy.parse(text)
    return text


def _redis_url(text: str) -> str:
    RedisAddress.parse(text)
    return text


def _store_url(text: str) -> str:
    if _url("s3", "file")(text).startswith("file://"):
        if text.removeprefix("file://").partition("/")[0] not in ("", "localhost"):
            raise ValueError("does not name an absolute folder; use three slashes, as in file:///srv/clips")
        return text
    return _without_login(text)


def _endpoint(text: str) -> str:
    return _without_login(_url("http", "https")(text))


def _without_login(text: str) -> str:
    if "@" in text:
        raise ValueError(
            "holds a user name or key before an @; leave it out, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    return text


def _token(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ValueError("is not a token; use letters, digits and signs of ASCII, without spaces")
    return text


def _mail_server(text: str) -> str:
    LoginUrl.parse(text, ("smtp", "smtps", "smtp+plain"))
    return text


def _mail_address(text: str) -> str:
    if not re.fullmatch(r"[^\s@<>]+@[A-Za-z0-9.-]+", text) or not text.isascii():
        raise ValueError("is not a mail address; use one such as reelmill@example.org")
    return text


def _currency(text: str) -> str:
    if not re.fullmatch(r"\w{1,8}|[^\w\s]", text):
        raise ValueError("is not a currency; use its letters or its sign")
    return text


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise ValueError("begins with a home that is not known; write the path out") from None


SECRET = {"redis_url", "store_url", "s3_endpoint", "metrics_token", "smtp_url"}
"""Settings of which no message repeats a part: they hold a secret, or somebody may have put one there."""
PARSERS: dict[str, Callable[[str], Any]] = {
    "redis_url": _redis_url,
    "store_url": _store_url,
    "farm": _farm,
    "state_dir": _path,
    "profile": _choice(*PROFILES),
    "renderer": _renderer,
    "lease_s": _number(float, 2, 600),
    "tick_s": _number(float, 0.1, 30),
    "dispatch_depth": _number(int, 1, 10),
    "max_deliveries": _number(int, 1, 8),
    "spool_mb": _number(int, 1, 1_000_000),
    "reuse_index": _choice(*get_args(ReuseIndex)),
    "max_attempts": _number(int, 1, 20),
    "forgive_after_s": _number(float, 0, 604_800),
    "stall_floor_s": _number(float, 1, 3600),
    "worker_window": _window,
    "worker_labels": _labels,
    "numa": _choice(*get_args(Numa)),
    "embedding_cache": _choice(*get_args(EmbeddingCache)),
    "embedding_cache_mb": _number(int, 1, 100_000),
    "ahead": _choice(*get_args(Ahead)),
    "clip_soft_limit_s": _number(int, 1, 86_400),
    "clip_hard_limit_s": _number(int, 1, 86_400),
    "video_codec": _choice("auto", "libx264", "libx265", "libsvtav1", "h264_nvenc", "hevc_nvenc"),
    "video_crf": _number(int, 0, 51),
    "video_threads": _number(int, 0, 64),
    "preview": _choice(*get_args(Preview)),
    "s3_endpoint": _endpoint,
    "s3_addressing": _choice(*get_args(Addressing)),
    "s3_sse": _choice(*filter(None, get_args(Encryption))),
    "s3_parts_above_mb": _number(int, 5, 5000),
    "s3_checksum": _choice(*get_args(ChecksumMode)),
    "report": _choice(*get_args(Reports)),
    "gpu_hour_price": _number(float, 0, 100_000),
    "kwh_price": _number(float, 0, 100_000),
    "currency": _currency,
    "presign_s": _number(int, 60, 604_800),
    "prune_days": _number(int, 0, 3650),
    "metrics_port": _number(int, 0, 65_535),
    "metrics_token": _token,
    "metrics_scope": _choice(*get_args(MetricsScope)),
    "notify_scheme": _choice(*get_args(NotifyScheme)),
    "notify_allow": _allowed,
    "smtp_url": _mail_server,
    "smtp_from": _mail_address,
    "flower_prompts": _choice(*get_args(FlowerPrompts)),
    "keep_logs": _choice(*get_args(KeepLogs)),
    "log_level": _choice("debug", "info", "warning", "error"),
    "log_format": _choice(*get_args(LogFormat)),
}
"""By setting: what reads its text, or raises `ValueError` with the rest of a sentence that begins with the value."""
