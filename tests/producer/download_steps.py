"""What the tests of downloads have: files of a batch of three clips, the fixture `downloadable`."""

from __future__ import annotations

FILES = ["_con.s1.mp4", "owl-s2.mp4", "shot.s3.mp4"]
