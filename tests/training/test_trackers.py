from __future__ import annotations

from training.corpus import painted_bytes
from training.trackers import score, see
from training.world import draw_scenes


def test_the_trackers_read_back_what_was_painted() -> None:
    scenes = [scene for scene in draw_scenes(60, 3) if scene.weather == "clear"][:24]

    right = score(see(painted_bytes(scenes, "cpu").float() / 255), scenes)

    assert right["time"] == right["floor"] == 1
    assert right["colour"] >= 0.9
    assert right["motion"] >= 0.9
