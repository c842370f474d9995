"""The rights that a farm needs of a Redis user: documented, enough, and named where one is missing."""

from __future__ import annotations

import dataclasses
import re
from importlib.resources import files
from pathlib import Path

import pytest
import redis

from fixtures.redis_users import url_of
from reelmill_common.errors import LedgerRefused
from reelmill_common.ledger import Ledger, rights
from reelmill_common.settings import Settings
from reelmill_producer.embedded.valkey import ValkeyServer

pytestmark = pytest.mark.services


DOCUMENT = Path(__file__).parents[3] / "docs" / "security.md"


def test_the_rule_is_documented_and_names_every_command_of_the_ledgers_functions(farm_name: str) -> None:
    lua = files("reelmill_common.ledger") / "lua"
    texts = [path.read_text() for folder in (lua, lua / "lib") for path in folder.iterdir() if path.name[-4:] == ".lua"]
    used = {found.lower() for text in texts for found in re.findall(r"redis\.p?call\('(\w+)'", text)}

    assert used - {right.partition("|")[0] for right in rights.LEDGER} == set()
    assert rights.rule("main", 0) in " ".join(DOCUMENT.read_text().split())


@pytest.mark.parametrize(
    ("taken", "wanted"),
    [
        (("-fcall", "-function|load"), "+fcall +function|load"),
        (("-hset", "-zadd"), "+hset +zadd"),
        (("resetkeys",), "~reelmill:*"),
        (("resetchannels",), "&reelmill:{farm}:celery:/0.celery.pidbox &reelmill:{farm}:celery:/0.celeryev/*"),
        (
            ("resetchannels", "&reelmill:*"),
            "&reelmill:{farm}:celery:/0.celery.pidbox &reelmill:{farm}:celery:/0.celeryev/*",
        ),
        (("-multi",), "RULE"),
        (("-brpop", "-psubscribe"), "+brpop +psubscribe"),
    ],
    ids=lambda args: args[0] if isinstance(args, tuple) else "",
)
def test_what_a_user_lacks_is_told_as_it_has_to_be_granted_at_start(
    settings: Settings,
    own_valkey: ValkeyServer,
    admin: redis.Redis,
    farm_name: str,
    taken: tuple[str, ...],
    wanted: str,
) -> None:
    admin.execute_command("ACL", "SETUSER", "less", *taken)
    poor = dataclasses.replace(settings, redis_url=url_of(own_valkey, "less"))
    wanted = wanted.format(farm=farm_name) if wanted != "RULE" else rights.rule(farm_name, 0)

    with pytest.raises(LedgerRefused, match=re.escape(f"ACL SETUSER <user> {wanted}")), Ledger.connect(poor) as ledger:
        ledger.check_rights()

    admin.execute_command("ACL", "SETUSER", "less", *wanted.split())  # the advice is all that is needed
    with Ledger.connect(poor) as ledger:
        ledger.check_rights()
    assert own_valkey.is_alive()
