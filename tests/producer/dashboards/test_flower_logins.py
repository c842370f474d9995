"""Logins of Flower: where they come from, and when none is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelmill_common.errors import InvalidSettings
from reelmill_producer.dashboards.flower_logins import check_login, read_users, require_auth


@pytest.mark.parametrize(
    ("address", "no_auth"),
    [
        pytest.param("127.0.0.1", False, id="loopback, not told otherwise"),
        pytest.param("", True, id="every address"),
        pytest.param("::", True, id="every address, IPv6"),
        pytest.param("192.168.7.7", True, id="a network"),
        pytest.param("flower.example.org", True, id="a name that may be anything"),
    ],
)
def test_a_login_is_required_where_others_can_connect(address: str, no_auth: bool) -> None:
    with pytest.raises(InvalidSettings, match="FLOWER_BASIC_AUTH"):
        require_auth(address, has_auth=False, no_auth=no_auth)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.53", "::1", "localhost"])
def test_no_login_is_needed_on_loopback_with_no_auth(address: str) -> None:
    require_auth(address, has_auth=False, no_auth=True)


@pytest.mark.parametrize("login", ["", "me", "me:", ":secret"])
def test_a_login_needs_both_halves_and_is_never_repeated(login: str) -> None:
    with pytest.raises(InvalidSettings, match="not user:password") as caught:
        check_login(login)

    assert "secret" not in str(caught.value).replace("me:secret", "")


def test_users_come_from_a_file_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("# who may look\n\n  day:one  \nnight:two\n")

    assert read_users(path) == ["day:one", "night:two"]


def test_a_file_without_users_is_refused(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("# nobody yet\n")

    for path in (tmp_path / "users", tmp_path / "missing"):
        with pytest.raises(InvalidSettings, match=r"--users-file .*(has no user|cannot be read)"):
            read_users(path)
