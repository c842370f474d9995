from __future__ import annotations

import inspect
import re

from reelmill_common.ledger.keys import Keys
from reelmill_common.ledger.schema import KEYS


def test_every_key_that_python_reads_is_documented() -> None:
    keys = Keys("main")
    properties = {name for name, item in vars(Keys).items() if isinstance(item, property)} - {"prefix"}
    methods = {name for name, item in vars(Keys).items() if inspect.isfunction(item) and not name.startswith("_")}
    named = [*(getattr(keys, name) for name in properties), *(getattr(keys, name)("ID") for name in methods)]

    assert len(named) > 10
    assert all(name.startswith("reelmill:{main}:") for name in named)
    documented = {re.split(":", key)[0] for key in KEYS}
    assert {name.removeprefix(keys.prefix).partition(":")[0] for name in named} - documented == set()
