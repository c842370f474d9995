"""Plain marks: XMP that a parser reads, whatever a model is called."""

from __future__ import annotations

import struct
from xml.etree import ElementTree as ET

import pytest

from reelmill_common.provenance.plain_marks import DIGITAL_SOURCE_TYPE, xmp_box, xmp_packet

EXT = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"


@pytest.mark.parametrize("system", ["fastwan-qad-fp8", '<a & "b">', ""])
def test_a_packet_says_that_a_model_made_it(system: str) -> None:
    root = ET.fromstring(xmp_packet(system).decode().split("?>", 1)[1])

    (found,) = [item for item in root.iter() if item.tag.endswith("Description")]
    assert found.get(f"{EXT}DigitalSourceType") == DIGITAL_SOURCE_TYPE
    assert found.get(f"{EXT}AISystemUsed") == (f"Reelmill, {system}" if system else "Reelmill")
    assert "AI-generated" in "".join(found.itertext())


def test_a_box_has_its_length_and_holds_the_packet() -> None:
    box = xmp_box("tiny")

    assert struct.unpack_from(">I4s", box) == (len(box), b"XMP_")
    assert box[8:] == xmp_packet("tiny")
