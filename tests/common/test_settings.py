from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from reelmill_common.errors import InvalidSettings
from reelmill_common.settings import Settings

ROOT = Path(__file__).parents[2]


def test_nothing_set_means_the_embedded_farm() -> None:
    settings = Settings.from_env({"PATH": "/bin", "AWS_ACCESS_KEY_ID": "x"})

    assert settings == Settings()
    assert settings.embedded


def test_every_variable_is_read() -> None:
    settings = Settings.from_env(
        {
            "REELMILL_REDIS_URL": "redis://:pass@farm:6379/0",
            "REELMILL_STORE_URL": "s3://clips/nights",
            "REELMILL_FARM": "main-2",
            "REELMILL_STATE_DIR": "~/farm",
            "REELMILL_PROFILE": "tiny",
            "REELMILL_LEASE_S": "2.5",
            "REELMILL_DISPATCH_DEPTH": "3",
            "REELMILL_S3_CHECKSUM": "when_required",
        }
    )

    assert settings.redis_url == "redis://:pass@farm:6379/0"
    assert settings.store_url == "s3://clips/nights"
    assert (settings.farm, settings.profile) == ("main-2", "tiny")
    assert settings.state_dir == Path("~/farm").expanduser()
    assert (settings.lease_s, settings.dispatch_depth, settings.s3_checksum) == (2.5, 3, "when_required")
    assert not settings.embedded


def test_an_empty_variable_means_the_default() -> None:
    assert Settings.from_env({"REELMILL_LEASE_S": "", "REELMILL_FARM": ""}) == Settings()


def test_all_wrong_variables_are_in_one_message() -> None:
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_env({"REELMILL_LEASE_S": "1", "REELMILL_FRAM": "x", "REELMILL_VIDEO_CRF": "99"})

    message = str(caught.value)
    assert message.count("; REELMILL_") == 2
    assert "REELMILL_LEASE_S: '1' is not" in message
    assert "REELMILL_VIDEO_CRF: '99' is not" in message


def test_no_secret_is_in_the_repr() -> None:
    secret = {item.name: "hunter2" for item in dataclasses.fields(Settings) if item.metadata["secret"]}

    assert len(secret) == 6
    assert "hunter2" not in repr(Settings(**secret))  # type: ignore[arg-type]  # one dict of all types


def test_a_child_process_gets_the_same_settings() -> None:
    changed: dict[str, object] = {
        item.name: {"str": "x", "int": 7, "float": 7.5, "Path": Path("/x")}.get(str(item.type))
        for item in dataclasses.fields(Settings)
    }
    changed = {name: value for name, value in changed.items() if value is not None}
    changed |= {"redis_url": "redis://:p%40ss@farm/1", "store_url": "file:///clips", "s3_endpoint": "http://s3:9"}
    changed |= {"worker_window": "22:00-07:00 UTC", "worker_labels": "studio,fast"}
    changed |= {"profile": "tiny", "renderer": "fixed:0.5", "video_codec": "libx265", "presign_s": 61}
    changed |= {"s3_checksum": "when_supported", "log_level": "debug", "log_format": "json"}
    changed |= {"s3_addressing": "path", "s3_sse": "AES256"}
    changed |= {"metrics_scope": "farm", "embedding_cache": "redis", "ahead": "on", "preview": "webp", "report": "off"}
    changed |= {"autoscale_target_s": 75.0, "record": "off", "cells": "a=redis://a/0,b=redis://b/0", "cell": "b"}
    changed |= {"flower_prompts": "hide", "reuse_index": "off", "keep_logs": "all"}
    changed |= {"console_proxies": "10.0.0.0/8", "console_root_path": "/x", "console_hosts": "x.lan"}
    changed |= {"flower_url": "https://flower.lan", "grafana_url": "https://grafana.lan"}
    changed |= {"provenance": "require", "provenance_timestamp_policy": "require", "provenance_prompt": "omit"}
    changed |= {f"provenance_{name}": f"/{name}.pem" for name in ("certificate", "key", "trust")}
    changed |= {"provenance_signer": "studio.keys:sign", "provenance_timestamp": "https://tsa.lan"}
    changed |= {"notify_scheme": "http", "smtp_url": "smtp://h:9", "smtp_from": "a@b"}
    settings = Settings(**changed)  # type: ignore[arg-type]  # one dict of all types

    assert all(getattr(settings, item.name) != getattr(Settings(), item.name) for item in dataclasses.fields(Settings))
    assert Settings.from_env(settings.to_env()) == settings


def test_the_defaults_survive_the_way_to_a_child_process() -> None:
    assert Settings.from_env(Settings().to_env()) == Settings()


def test_a_setting_of_workers_is_not_read_by_producers() -> None:
    source = "".join(path.read_text() for path in (ROOT / "producer").rglob("*.py"))
    read = set(re.findall(r"settings\.([a-z_0-9]+)", source))
    readers = {item.name: item.metadata["reader"] for item in dataclasses.fields(Settings) if item.name in read}

    assert len(readers) > 5
    assert [name for name, reader in readers.items() if reader == "workers"] == []
