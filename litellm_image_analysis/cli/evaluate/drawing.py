"""Drawing of small pictures with Pillow. DejaVu Sans, which comes with Matplotlib, has Latin, Greek and Cyrillic."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

from PIL import Image, ImageDraw, ImageFont

Colour: TypeAlias = "str | tuple[int, int, int]"
Box: TypeAlias = "tuple[float, float, float, float]"

MARGIN = 24


@cache
def font(size: int, *, is_mono: bool = False) -> ImageFont.FreeTypeFont:
    """Return a font of this size in pixels."""
    import matplotlib

    name = "DejaVuSansMono.ttf" if is_mono else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


class Canvas:
    """A picture in progress.

    Args:
        width: pixels.
        height: pixels.
        ground: the colour of the ground.
    """

    def __init__(self, width: int, height: int, ground: Colour = "white") -> None:
        self.image = Image.new("RGB", (width, height), ground)
        self.draw: Any = ImageDraw.Draw(self.image)

    def text(
        self, x: float, y: float, words: str, size: int = 20, colour: Colour = "black", *, is_mono: bool = False
    ) -> None:
        """Write one line with its upper left corner at this place."""
        self.draw.text((x, y), words, fill=colour, font=font(size, is_mono=is_mono))

    def box(self, at: Box, colour: Colour | None = None, line: Colour | None = None, width: int = 2) -> None:
        """Draw a rectangle."""
        self.draw.rectangle(at, fill=colour, outline=line, width=width)

    def circle(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Draw a filled circle around this place."""
        self.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    def triangle(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Draw a filled triangle around this place."""
        self.draw.polygon([(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)], fill=colour)

    def square(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Draw a filled square around this place."""
        self.box((x - radius, y - radius, x + radius, y + radius), colour)

    def arrow(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw a horizontal arrow."""
        (x, y), tip = end, 10 if end[0] > start[0] else -10
        self.draw.line((*start, x, y), fill="black", width=3)
        self.draw.polygon([(x, y), (x - tip, y - 7), (x - tip, y + 7)], fill="black")

    def png(self) -> bytes:
        """Return the file."""
        file = BytesIO()
        self.image.save(file, "PNG", optimize=True)
        return file.getvalue()


def page(
    lines: Sequence[str],
    size: int = 20,
    colour: Colour = "black",
    ground: Colour = "white",
    *,
    is_mono: bool = False,
    spacing: float = 1.5,
) -> bytes:
    """Draw lines of text, one below the other."""
    width = max(font(size, is_mono=is_mono).getlength(line) for line in lines)
    height = size * spacing
    canvas = Canvas(int(width) + 2 * MARGIN, int(height * len(lines)) + 2 * MARGIN, ground)
    for number, line in enumerate(lines):
        canvas.text(MARGIN, MARGIN + number * height, line, size, colour, is_mono=is_mono)
    return canvas.png()


def table(rows: Sequence[Sequence[str]], size: int = 20, *, has_lines: bool = True) -> bytes:
    """Draw a table. All columns but the first are aligned to the right."""
    columns = list(zip(*rows, strict=True))
    widths = [max(font(size).getlength(cell) for cell in column) + 36 for column in columns]
    height = size * 2
    canvas = Canvas(int(sum(widths)) + 2 * MARGIN, height * len(rows) + 2 * MARGIN)
    for line, row in enumerate(rows):
        left, top = float(MARGIN), MARGIN + line * height
        for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
            if has_lines:
                canvas.box((left, top, left + width, top + height), line="grey", width=1)
            space = width - font(size).getlength(cell) - 12
            canvas.text(left + (12 if column == 0 else space), top + size * 0.4, cell, size)
            left += width
    return canvas.png()


def bars(title: str, values: Sequence[tuple[str, float]], unit: str, *, shows_values: bool) -> bytes:
    """Draw a bar chart. Without values above the bars, an axis has the scale."""
    canvas, top = Canvas(560, 360), max(value for _, value in values)
    canvas.text(MARGIN, 14, f"{title} ({unit})", 20)
    canvas.draw.line((70, 310, 540, 310), fill="black", width=2)
    if not shows_values:
        canvas.draw.line((70, 60, 70, 310), fill="black", width=2)
        for step in range(5):
            mark = top * step / 4
            canvas.text(24, 300 - step * 60, f"{mark:g}", 15)
            canvas.draw.line((64, 310 - step * 60, 540, 310 - step * 60), fill="lightgrey")
    for number, (name, value) in enumerate(values):
        left, height = 90 + number * 440 / len(values), 240 * value / top
        canvas.box((left, 310 - height, left + 60, 310), "steelblue")
        canvas.text(left, 318, name, 16)
        if shows_values:
            canvas.text(left + 4, 288 - height, f"{value:g}", 16)
    return canvas.png()
