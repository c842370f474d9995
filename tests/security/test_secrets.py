"""No message repeats any part of a setting that may hold a secret, however malformed the setting is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.cli import program
from reelmill_common.errors import InvalidSettings, ReelmillError
from reelmill_common.ledger.server import address_of
from reelmill_common.settings import Settings
from reelmill_common.storage import open_store

MARK = "hunter2"
PARTS = st.text(alphabet="#/@?%:[]&=;\\ \t\n\x00é☃.-_0aZ{}", max_size=6)
SECRETS = st.builds(lambda before, after: f"{before}{MARK}{after}", PARTS, PARTS)
WRAPS = st.sampled_from(
    [
        "{scheme}://:{secret}@{host}",
        "{scheme}://user:{secret}@{host}:6379/0",
        "{scheme}://{secret}@{host}",
        "{scheme}://user:{secret}",
        "{scheme}://{secret}:{secret}@",
        "{scheme}:/user:{secret}@{host}",
        "{scheme}//{secret}@{host}",
        "{scheme}://{host}:{secret}/0",
        "{scheme}://{host}/{secret}",
        "{scheme}://{host}?ssl_ca_certs={secret}",
        "{scheme}://{host}?{secret}",
        "{scheme}://{host}#{secret}",
        " {scheme}://:{secret}@{host}",
        "{secret}",
    ]
)
SETTINGS = {
    "REELMILL_REDIS_URL": ("redis", "rediss", "http"),
    "REELMILL_STORE_URL": ("s3", "S3", "file"),
    "REELMILL_S3_ENDPOINT": ("https", "http", "s3"),
    "REELMILL_SMTP_URL": ("smtp", "smtps", "smtp+plain", "mail"),
    "REELMILL_METRICS_TOKEN": ("Bearer",),
}


@given(data=st.data())
@pytest.mark.parametrize("variable", SETTINGS)
def test_a_malformed_secret_is_never_repeated(variable: str, data: st.DataObject) -> None:
    secret, scheme = data.draw(SECRETS), data.draw(st.sampled_from(SETTINGS[variable]))
    text = data.draw(WRAPS).format(scheme=scheme, secret=secret, host="127.0.0.1")

    message = ""
    try:
        settings = Settings.from_env({variable: text})
        if variable == "REELMILL_REDIS_URL":
            address_of(settings)
        if variable == "REELMILL_STORE_URL":
            open_store(settings)
    except ReelmillError as err:
        message = f"{err} {err.__cause__}"

    # A bucket, a folder or a host is not a secret where nothing looks like one: it may be shown.
    plain = (
        variable == "REELMILL_STORE_URL" and "@" not in text and ":" not in text.partition("://")[2].partition("/")[0]
    )
    assert plain or MARK not in message


@pytest.mark.parametrize("sign", ["#", "/", "?", "@/", "%", "%zz", "[", " "])
@pytest.mark.parametrize("variable", ["REELMILL_REDIS_URL", "REELMILL_SMTP_URL"])
def test_a_sign_that_breaks_a_url_is_answered_with_how_to_write_it(variable: str, sign: str) -> None:
    scheme = "redis" if "REDIS" in variable else "smtp"
    if sign == "[":  # means nothing within a password
        Settings.from_env({variable: f"{scheme}://user:hunt{sign}er2@host:6379"})
        return

    with pytest.raises(InvalidSettings, match=re.escape("write # as %23, % as %25, / as %2F")) as caught:
        Settings.from_env({variable: f"{scheme}://user:hunt{sign}er2@host:6379"})

    assert "hunt" not in str(caught.value)
    assert "er2" not in str(caught.value)


def test_encoded_signs_reach_the_server_as_they_are() -> None:
    settings = Settings.from_env({"REELMILL_REDIS_URL": "redis://us%40er:%23%2F%40%3F%25%3A;@host/3"})

    address = address_of(settings)

    assert (address.username, address.password, address.db) == ("us@er", "#/@?%:;", 3)
    assert address.broker_options()["broker_url"] == "redis://us%40er:%23%2F%40%3F%25%3A%3B@host:6379/3"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("REELMILL_STORE_URL", "s3://AKIA:hunter2@bucket/prefix"),
        ("REELMILL_STORE_URL", "s3://AKIA:hun/hunter2@bucket"),
        ("REELMILL_S3_ENDPOINT", "https://AKIA:hunter2@s3.example.org"),
        ("REELMILL_REDIS_URL", "redis://:hunter2#x@redis.example.org"),
        ("REELMILL_SMTP_URL", "smtp://me:1/hunter2@mail.example.org"),
        ("REELMILL_METRICS_TOKEN", "hunter2 two"),
    ],
)
def test_doctor_repeats_no_key_password_or_token(settings: Settings, variable: str, value: str) -> None:
    ran = program("doctor", env=settings.to_env() | {variable: value})

    assert (ran.status, variable in ran.err) == (78, True)
    assert "hunter2" not in ran.out + ran.err
    assert "AKIA" not in ran.out + ran.err


@pytest.mark.parametrize("target", ["https://hooks.example.org/T0/hunter2", "hunter2@", "https://me:hunter2@host/x"])
def test_a_webhooks_target_is_not_repeated(settings: Settings, target: str) -> None:
    kinds = ("email", "standard") if "me:" not in target else ("email", "standard", "slack")
    for kind in kinds:
        ran = program("webhook", "add", target, "--kind", kind, env=settings.to_env())
        assert "hunter2" not in ran.err, kind
