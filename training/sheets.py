"""Contact sheets: a row of frames for each clip, for eyes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw
from torch import Tensor

TEXT_HEIGHT = 12


def save_sheet(path: Path, clips: Tensor, captions: Sequence[str], *, columns: int = 6) -> None:
    """Write a picture with each clip's caption above some of its frames.

    Args:
        path: File to write; its suffix decides the format.
        clips: (b, f, 3, h, w), 0 to 1.
        captions: One a clip.
        columns: Frames shown of each clip, evenly over its length.
    """
    _, frames, _, height, width = clips.shape
    picked = [round(index * (frames - 1) / (columns - 1)) for index in range(columns)]
    sheet = Image.new("RGB", (columns * width, len(captions) * (height + TEXT_HEIGHT)), (18, 18, 22))
    draw = ImageDraw.Draw(sheet)
    for row, text in enumerate(captions):
        top = row * (height + TEXT_HEIGHT)
        draw.text((2, top), text, fill=(230, 230, 230))
        for column, index in enumerate(picked):
            pixels = (clips[row, index].clamp(0, 1) * 255 + 0.5).byte().permute(1, 2, 0).cpu().numpy()
            sheet.paste(Image.fromarray(pixels), (column * width, top + TEXT_HEIGHT))
    sheet.save(path, quality=90)
