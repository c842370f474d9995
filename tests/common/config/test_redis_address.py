from __future__ import annotations

import re
import ssl

import pytest

from reelmill_common.config.redis_address import RedisAddress
from reelmill_common.errors import InvalidSettings
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings


@pytest.mark.parametrize(
    ("options", "cert_reqs", "checks"),
    [
        ("", ssl.CERT_REQUIRED, True),
        ("?ssl_cert_reqs=CERT_REQUIRED", ssl.CERT_REQUIRED, True),
        ("?ssl_cert_reqs=optional", ssl.CERT_OPTIONAL, True),
        ("?ssl_cert_reqs=required&ssl_check_hostname=false", ssl.CERT_REQUIRED, False),
        ("?ssl_cert_reqs=none", ssl.CERT_NONE, False),
        ("?ssl_cert_reqs=CERT_NONE", ssl.CERT_NONE, False),
    ],
)
def test_one_policy_comes_out_of_either_spelling(options: str, cert_reqs: ssl.VerifyMode, checks: bool) -> None:
    address = RedisAddress.parse(f"rediss://:p%40ss%2F@farm:6380/2{options}")

    broker, client = address.broker_options(), address.client_options()

    assert broker["broker_url"] == "rediss://:p%40ss%2F@farm:6380/2"  # nothing left for Celery to read in its own way
    assert broker["broker_use_ssl"]["ssl_cert_reqs"] is client["ssl_cert_reqs"] is cert_reqs
    assert broker["broker_use_ssl"]["ssl_check_hostname"] is client["ssl_check_hostname"] is checks
    assert client["password"] == "p@ss/"


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ("?ssl_cert_reqs=maybe", "use required (the default), optional or none"),
        ("?ssl_ca_certs=/no/such.pem", "names a file as ssl_ca_certs that is not there"),
        ("?ssl_keyfile=/dev/null", "names a file as ssl_keyfile that is not there"),
        ("?ssl_ca_cert=/etc/ca.pem", "options after ? that are unknown"),
        (f"?ssl_ca_certs={__file__}", "holds no certificate in PEM"),
        (f"?ssl_certfile={__file__}&ssl_keyfile={__file__}", "not a certificate in PEM and its key"),
    ],
)
def test_a_policy_that_cannot_be_used_is_refused_without_repeating_it(
    settings: Settings, options: str, advice: str
) -> None:
    with pytest.raises(InvalidSettings, match=re.escape(advice)) as caught:
        Ledger.connect(Settings(redis_url=f"rediss://:hunter2@farm:6380/0{options}"))

    assert "hunter2" not in str(caught.value)
    assert "such.pem" not in str(caught.value)


SENTINEL = "redis+sentinel://me:p%40ss@one:26380,two,[::1]:26381/farm.a/3"


def test_one_url_of_sentinels_serves_redis_py_and_celery() -> None:
    address = RedisAddress.parse(f"{SENTINEL}?sentinel_username=asker&sentinel_password=an+other%2F1")

    assert str(address) == "'farm.a' of Sentinel one:26380, two:26379, ::1:26381"
    assert address.client_options() == {"db": 3, "username": "me", "password": "p@ss"}
    assert address.sentinel_options() == {"username": "asker", "password": "an+other/1"}
    assert address.broker_options()["broker_url"] == (
        "sentinel://me:p%40ss@one:26380/3;sentinel://me:p%40ss@two:26379/3;sentinel://me:p%40ss@[::1]:26381/3"
    )
    options = address.transport_options(1.0)
    assert (options["master_name"], options["sentinel_kwargs"]["password"]) == ("farm.a", "an+other/1")
    assert "p@ss" not in repr(address)
    assert "an+other" not in repr(address)


def test_tls_holds_for_the_sentinels_too() -> None:
    address = RedisAddress.parse(SENTINEL.replace("redis+", "rediss+") + "?ssl_cert_reqs=required")

    assert address.sentinel_options()["ssl"] is True
    assert address.sentinel_options()["ssl_cert_reqs"] is ssl.CERT_REQUIRED
    assert address.broker_options()["broker_use_ssl"]["ssl_check_hostname"] is True


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("redis+sentinel://:hunter2@one,two", "does not name the service that the Sentinels watch"),
        ("redis+sentinel://:hunter2@one,two/0", "does not name the service"),
        ("redis+sentinel://:hunter2@one,two/farm/x", "does not end in the number of a database, as redis+sentinel"),
        ("redis+sentinel://:hunter2@one,,two/farm", "does not name a host"),
        ("redis+sentinel://:hunter2@one/farm?ssl_cert_reqs=none", "rediss+sentinel:// with Sentinels"),
        ("redis+sentinel://:hunter2@one/farm?sentinel_username=hunter2", "no sentinel_password; set both"),
        ("redis://:hunter2@one,two/0", "does not name a host"),
        ("redis://:hunter2@one/0?sentinel_password=hunter2", "options after ? that are unknown"),
        ("redis://:hunter2@one/farm/0", "does not end in the number of a database, as redis://"),
    ],
)
def test_a_url_that_is_wrong_is_refused_with_the_form_and_without_repeating_it(url: str, advice: str) -> None:
    with pytest.raises(ValueError, match=re.escape(advice)) as caught:
        RedisAddress.parse(url)

    assert "hunter2" not in str(caught.value)
