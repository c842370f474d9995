from __future__ import annotations

import pytest

from reelmill_common.errors import InvalidSettings
from reelmill_common.settings import Settings


@pytest.mark.parametrize(
    ("variable", "value", "advice"),
    [
        ("REELMILL_REDIS_URL", "http://farm", "starts with redis:// or rediss://"),
        ("REELMILL_STORE_URL", "gs://bucket", "starts with s3:// or file://"),
        ("REELMILL_STORE_URL", "s3://", "starts with s3:// or file://"),
        ("REELMILL_FARM", "Main Farm", "use 1 to 32 of a-z 0-9 -"),
        ("REELMILL_PROFILE", "wan-14b", "is not one of fastwan-qad-fp8, tiny"),
        ("REELMILL_RENDERER", "fixed", "neither model nor fixed:SECONDS"),
        ("REELMILL_LEASE_S", "1", "is not a number from 2 to 600"),
        ("REELMILL_LEASE_S", "nan", "is not a number from 2 to 600"),
        ("REELMILL_TICK_S", "fast", "is not a number from 0.1 to 30"),
        ("REELMILL_DISPATCH_DEPTH", "2.5", "is not a whole number from 1 to 10"),
        ("REELMILL_MAX_DELIVERIES", "9", "is not a whole number from 1 to 8"),
        ("REELMILL_SPOOL_MB", "0", "is not a whole number from 1 to 1000000"),
        ("REELMILL_MAX_ATTEMPTS", "0", "is not a whole number from 1 to 20"),
        ("REELMILL_CLIP_SOFT_LIMIT_S", "-1", "is not a whole number from 1 to 86400"),
        ("REELMILL_CLIP_HARD_LIMIT_S", "x", "is not a whole number from 1 to 86400"),
        ("REELMILL_VIDEO_CODEC", "h264", "is not one of auto, libx264"),
        ("REELMILL_VIDEO_CRF", "52", "is not a whole number from 0 to 51"),
        ("REELMILL_VIDEO_THREADS", "65", "is not a whole number from 0 to 64"),
        ("REELMILL_PREVIEW", "gif", "is not one of off, webp"),
        ("REELMILL_S3_ENDPOINT", "farm:9000", "starts with http:// or https://"),
        ("REELMILL_S3_CHECKSUM", "never", "is not one of auto, when_supported, when_required"),
        ("REELMILL_PRESIGN_S", "59", "is not a whole number from 60 to 604800"),
        ("REELMILL_LOG_LEVEL", "verbose", "is not one of debug, info, warning, error"),
        ("REELMILL_LOG_FORMAT", "xml", "is not one of auto, json, text"),
        ("REELMILL_CONSOLE_ROOT_PATH", "/a b", "is not a path such as /farm"),
        ("REELMILL_CONSOLE_ROOT_PATH", "/..", "is not a path such as /farm"),
        ("REELMILL_CONSOLE_HOSTS", "https://farm.lan", "is not a host name; leave scheme, port and path out"),
        ("REELMILL_CONSOLE_PROXIES", "10.0.0.0/99", "neither an IP address nor a network"),
        ("REELMILL_CONSOLE_PORT", "70000", "is not a whole number from 0 to 65535"),
        ("REELMILL_FLOWER_URL", "javascript:alert(1)", "starts with http:// or https://"),
    ],
)
def test_a_wrong_variable_is_named_with_what_it_may_be(variable: str, value: str, advice: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_env({variable: value})

    assert str(caught.value).startswith(f"{variable}: ")
    assert advice in str(caught.value)


def test_names_and_paths_of_a_console_are_read_in_one_form() -> None:
    env = {
        "REELMILL_CONSOLE_HOSTS": "Farm.Example.org, *.lan,[::1]",
        "REELMILL_CONSOLE_ROOT_PATH": "farm/night/",
        "REELMILL_CONSOLE_PROXIES": "127.0.0.1, 10.1.0.0/16",
    }

    settings = Settings.from_env(env)

    assert settings.console_hosts == "farm.example.org,*.lan,[::1]"
    assert (settings.console_root_path, settings.console_proxies) == ("/farm/night", "127.0.0.1,10.1.0.0/16")
