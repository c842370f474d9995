"""The session where no token is needed; with tokens it is in `test_authentication.py`."""

from __future__ import annotations

from fixtures.visitor import Visitor


def test_where_all_are_operators_the_session_says_so(console: Visitor) -> None:
    assert console("GET", "session").json == {"name": "", "role": "operator", "owner": None, "csrf": "", "open": True}
    assert console("DELETE", "session").status == 204
    assert console("POST", "session", {"token": "nonsense"}).status == 401
