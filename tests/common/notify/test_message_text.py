from __future__ import annotations

import json

from reelmill_common.notify import message_text
from reelmill_common.notify.notification import Notification, make_notification


def finished(**changes: object) -> Notification:
    data = {
        "farm": "main",
        "batch": "night",
        "total": 3,
        "counts": {"succeeded": 1, "failed": 2},
        "failures": [
            {"code": "bad_output", "count": 2, "message": "<black> & frozen", "retry": "reelmill retry night"}
        ],
        "retry": "reelmill retry night",
        **changes,
    }
    return make_notification("msg_main_1-0", "batch.finished", 1.5, data)


def test_slack_gets_a_text_in_which_nothing_is_markup_that_was_not_meant_to_be() -> None:
    text = json.loads(message_text.slack(finished()))["text"]

    assert text.splitlines() == [
        "*[main] Batch night is done*",
        "3 clips: 1 succeeded, 2 failed",
        "2 of bad_output: &lt;black&gt; &amp; frozen",
        "try them again: reelmill retry night",
    ]


def test_no_text_of_an_event_begins_a_header_of_a_mail() -> None:
    mail = message_text.mail(finished(batch="x\r\nBcc: evil@example.org"), "reelmill@example.org", "ops@example.org")

    assert mail["Bcc"] is None
    assert mail["Subject"] == "[main] Batch x Bcc: evil@example.org is done"
    assert mail["Message-ID"] == "<msg_main_1-0@example.org>"


def test_a_message_to_discord_mentions_nobody_and_fits() -> None:
    evil = "@everyone [log in](https://evil.example)\n**batch done** " + "x" * 5_000
    body = json.loads(
        message_text.discord(
            make_notification("msg_1", "batch.paused", 0, {"farm": "main", "batch": "night", "why": evil})
        )
    )

    assert body["allowed_mentions"] == {"parse": []}
    assert len(body["content"]) <= 2000
    assert body["content"].startswith("**\\[main\\] Batch night is paused**\nwhy")
    assert "\n**batch" not in body["content"]
    assert "[log in](" not in body["content"]


def test_teams_gets_an_adaptive_card_in_the_form_that_its_workflow_knows() -> None:
    (attachment,) = json.loads(message_text.teams(finished()))["attachments"]

    content = attachment["content"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert (content["type"], content["$schema"]) == (
        "AdaptiveCard",
        "http://adaptivecards.io/schemas/adaptive-card.json",
    )
    assert [block["inlines"][0]["text"] for block in content["body"]][:2] == [
        "[main] Batch night is done",
        "3 clips: 1 succeeded, 2 failed",
    ]
