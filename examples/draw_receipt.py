"""Draw ``receipt.png``, the picture of the examples and tests.

Needs Pillow. The same version of Pillow always writes the same bytes.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

ITEMS = {
    "Espresso": Decimal("2.80"),
    "Oat milk cappuccino": Decimal("4.60"),
    "Butter croissant": Decimal("3.20"),
    "Avocado sandwich": Decimal("11.50"),
    "Tomato soup": Decimal("8.90"),
    "Lemon tart": Decimal("7.91"),
}
TAX_RATE = Decimal("0.10")

WIDTH, MARGIN = 480, 36
PAPER, INK = 255, 24


def draw_receipt() -> Image.Image:
    """Draw the receipt as a grey-scale image."""
    subtotal = sum(ITEMS.values(), Decimal(0))
    tax = (subtotal * TAX_RATE).quantize(Decimal("0.01"))
    image = Image.new("L", (WIDTH, 700), PAPER)
    pen = ImageDraw.Draw(image)

    _centred(pen, 36, "HARBOUR STREET CAFE", 30)
    _centred(pen, 80, "12 Harbour Street, Bristol", 18)
    _centred(pen, 106, "2025-03-14   09:41   Table 7", 18)
    _rule(pen, 146)
    for number, (name, price) in enumerate(ITEMS.items()):
        _row(pen, 166 + 40 * number, name, price, 20)
    _rule(pen, 416)
    _row(pen, 436, "Subtotal", subtotal, 20)
    _row(pen, 474, "Tax 10%", tax, 20)
    _rule(pen, 516)
    _row(pen, 538, "TOTAL", subtotal + tax, 32)
    _centred(pen, 612, "Paid by card ending 4471", 18)
    _centred(pen, 640, "Thank you, see you soon!", 18)
    return image


def _centred(pen: ImageDraw.ImageDraw, top: int, text: str, size: int) -> None:
    pen.text((WIDTH // 2, top), text, fill=INK, font=ImageFont.load_default(size), anchor="ma")


def _row(pen: ImageDraw.ImageDraw, top: int, name: str, amount: Decimal, size: int) -> None:
    font = ImageFont.load_default(size)
    pen.text((MARGIN, top), name, fill=INK, font=font)
    pen.text((WIDTH - MARGIN, top), f"{amount:.2f}", fill=INK, font=font, anchor="ra")


def _rule(pen: ImageDraw.ImageDraw, top: int) -> None:
    pen.line((MARGIN, top, WIDTH - MARGIN, top), fill=INK, width=2)


if __name__ == "__main__":
    draw_receipt().save(Path(__file__).with_name("receipt.png"), optimize=True)
