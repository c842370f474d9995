"""Webhooks over HTTP."""

from __future__ import annotations

from fixtures.visitor import Visitor


def test_a_webhook_is_added_listed_without_its_secrets_and_removed(console: Visitor) -> None:
    made = console(
        "POST", "webhooks", {"target": "https://hooks.example.com/secret-path", "headers": ["X-Key: abcdef"]}
    )
    listed = console("GET", "webhooks")

    assert (made.status, made.json["secret"][:6]) == (201, "whsec_")
    assert listed.json["items"][0]["headers"] == ["x-key"]
    assert not [text for text in (b"abcdef", b"secret-path", made.json["secret"].encode()) if text in listed.body]
    assert console("DELETE", f"webhooks/{made.json['webhook']}").status == 204
    assert console("DELETE", f"webhooks/{made.json['webhook']}").status == 404
    assert console("POST", "webhooks", {"target": "file:///etc/passwd"}).status == 422
