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
