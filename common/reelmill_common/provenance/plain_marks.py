"""Marks that any reader of metadata knows: IPTC's digital source type as XMP, and two words for people.

Anybody can write or remove them. Source: IPTC Photo Metadata Standard 2025.1 ("Digital Source Type", "AI System Used"),
and XMP Specification Part 3, which says where a packet lies in a file.
"""

from __future__ import annotations

import struct
from xml.sax.saxutils import quoteattr

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's word for what a trained model made as a whole."""
AI_GENERATED = "AI-generated"


def xmp_packet(system: str) -> bytes:
    """Return the XMP packet of what a model made.

    Args:
        system: Name of the model, such as `fastwan-qad-fp8`.
    """
    facts = (
        f'Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE_TYPE}" '
        f"Iptc4xmpExt:AISystemUsed={quoteattr(f'Reelmill, {system}' if system else 'Reelmill')} "
        'xmp:CreatorTool="Reelmill"'
    )
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/"'
        f' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" {facts}>'
        f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{AI_GENERATED}</rdf:li></rdf:Alt></dc:description>'
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    ).encode()


def xmp_box(system: str) -> bytes:
    """Return the packet as a box of `moov/udta`, where QuickTime has it, and FFmpeg and ExifTool read it in an MP4 too.

    ISO's place is a `uuid` box of its own. With a second one beside that of the signed manifest, some readers take the
    wrong one (@trustnxt/c2pa-ts 0.9.4).
    """
    content = xmp_packet(system)
    return struct.pack(">I4s", 8 + len(content), b"XMP_") + content
