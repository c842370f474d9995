"""Archives: written piece by piece, whatever the store has lost."""

from __future__ import annotations

import io
import zipfile

from fixtures.hand import Hand
from reelmill_producer.client import Reelmill
from reelmill_producer.web.archives import MISSING, archive_of


def test_what_the_store_has_lost_is_listed_and_the_rest_is_there(client: Reelmill, hand: Hand) -> None:
    client.submit_many([{"id": "fox", "prompt": "a fox"}, {"id": "owl", "prompt": "an owl"}], batch="night")
    lost, _ = hand.finish(hand.claim()), hand.finish(hand.claim())
    client.store.delete(lost.key)

    pieces = list(archive_of(client, "night"))

    archive = zipfile.ZipFile(io.BytesIO(b"".join(pieces)))
    assert archive.testzip() is None
    assert set(archive.namelist()) == {"owl.s1024.mp4", MISSING}
    assert archive.read(MISSING).decode() == f"fox: {lost.key}\n"
    assert archive.read("owl.s1024.mp4") == b"MP4 of owl"
