"""Pictures for local OCR with what is written in them: a drawn set, and folders of pictures.

The drawn set is the same on every machine with the same Pillow and Matplotlib, which has the fonts.
"""

from __future__ import annotations

import io
import json
import random
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image, ImageDraw

from litellm_image_analysis.cli.evaluate.drawing import MARGIN, Canvas, Colour, font, page, table

_READ_BY_RAPIDOCR = ("LATIN", "CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA")
"""The scripts of RapidOCR's models, as the first word of a letter's name in Unicode."""
_SEED = 11


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture with its text.

    Attributes:
        name: unique name, which is that of its file.
        group: the group that it is reported in.
        content: the file.
        lines: its text in reading order. Code has its indentation.
        lang: Tesseract's name of its language.
        rows: the cells of rows whose cells have to stay together, in this order.
        pairs: texts that have to share a line.
        is_code: whether the indentation of the lines counts.
        hides_tesseract: whether local OCR is to read it as if Tesseract were not installed.
    """

    name: str
    group: str
    content: bytes
    lines: tuple[str, ...] = ()
    lang: str = "eng"
    rows: tuple[tuple[str, ...], ...] = ()
    pairs: tuple[tuple[str, ...], ...] = ()
    is_code: bool = False
    hides_tesseract: bool = False

    @property
    def has_other_script(self) -> bool:
        """Whether RapidOCR's models do not have most of its letters."""
        letters = [letter for letter in "".join(self.lines) if letter.isalpha()]
        others = sum(unicodedata.name(letter, "").split(" ")[0] not in _READ_BY_RAPIDOCR for letter in letters)
        return others > len(letters) / 2


_PROSE = (
    (
        "The harbour of the old town was built for ships that carried salt and timber. Its walls are as thick as a"
        " house, and the gates were closed each night until the railway came. Since then, most goods arrive by land."
        " The cranes were sold, and their tracks became a path along the water."
    ),
    (
        "In winter the boats lie on the shore, covered with grey sails. Their owners meet in the hall of the pilots,"
        " where they mend nets and talk about the price of diesel. A school has moved into the upper floor. Its pupils"
        " learn to read the tides before they learn to drive."
    ),
    (
        "Visitors find the market behind the church. It opens on Friday morning and sells bread, cheese and fish from"
        " the bay. Who comes late finds only crumbs and a few bunches of herbs. The keeper of the tower shows the bells"
        " to anyone who climbs the stairs with him."
    ),
)
_PYTHON = (
    "def moving_average(values, width):",
    "    total = 0.0",
    "    result = []",
    "    for index, value in enumerate(values):",
    "        total += value",
    "        if index >= width:",
    "            total -= values[index - width]",
    "        count = min(index + 1, width)",
    "        result.append(total / count)",
    "    return result",
)
_YAML = (
    "services:",
    "  gateway:",
    "    image: example/gateway:1.4.2",
    "    environment:",
    "      LOG_LEVEL: warning",
    "      TIMEOUT_SECONDS: 30",
    "    ports:",
    "      - published: 8080",
    "        target: 4000",
    "  cache:",
    "    image: example/cache:7",
)
_TERMINAL = (
    "$ git log --oneline --stat -1",
    "8f31c07 Close the connection after the last part",
    " source/reader.py     | 14 ++++++++------",
    " tests/test_reader.py |  9 +++++++++",
    " 2 files changed, 17 insertions(+), 6 deletions(-)",
    "$ make test",
    "collected 128 items",
    "FAILED tests/test_reader.py::test_close",
    "  assert reader.is_open is False",
    "    where True = <Reader 0x7f3a>.is_open",
    "1 failed, 127 passed in 9.42s",
)
_TABLE = (
    ("Station", "Opened", "Platforms", "Passengers", "Change"),
    ("North Gate", "1882", "4", "12,904", "+3.1 %"),
    ("Old Harbour", "1907", "2", "3,377", "-8.4 %"),
    ("Museum", "1931", "2", "7,215", "+0.6 %"),
    ("University", "1968", "6", "41,080", "+12.9 %"),
    ("Airport", "1994", "3", "28,466", "-1.7 %"),
)
_WRAPPED = (
    ("Code", "Meaning", "What to do"),
    ("E101", "The pump does not get enough water from the tank", "Open the valve and start it again"),
    ("E102", "Filter is full", "Clean the filter with cold water and dry it for an hour"),
    ("E205", "The door was opened while the drum was turning", "Close the door"),
    ("E317", "No connection to the sensor in the upper basket", "Call the service and give them the code"),
)
_NOTICE = (
    "Terms of the guarantee",
    "1. The guarantee begins on the day of delivery and ends after 24 months.",
    "2. Parts that wear out, such as belts, lamps and filters, are excluded.",
    "3. Keep the invoice. A claim needs its number, for example RG-2026-0417.",
    "4. Repairs by others end the guarantee, except in an emergency.",
    "5. Send the device in its own box. We pay up to 18.50 EUR for postage.",
)
_SHORT_NOTICE = _NOTICE[:4]
_RUSSIAN = (
    "Музей открыт ежедневно, кроме вторника.",
    "Билеты продаются в кассе у главного входа.",
    "Дети до семи лет проходят бесплатно.",
    "Пожалуйста, не трогайте картины руками.",
    "Последний посетитель входит в шесть часов.",
)
_GREEK = (
    "Το μουσείο είναι ανοιχτό κάθε μέρα εκτός Τρίτης.",
    "Τα εισιτήρια πωλούνται στην κεντρική είσοδο.",
    "Τα παιδιά κάτω των επτά ετών μπαίνουν δωρεάν.",
    "Παρακαλούμε μην αγγίζετε τους πίνακες.",
    "Ο τελευταίος επισκέπτης μπαίνει στις έξι.",
)
_FRAMES = (
    ("Step 1: open the cover", "Lift it by the blue handle"),
    ("Step 2: insert the card", "The arrow points to the left"),
    ("Step 3: press the button", "Wait until the lamp is green"),
)
LONG_LINES = 220


def drawn(*names: str) -> list[Picture]:
    """Draw the pictures of these names, in this order. Without names, draw the whole set."""
    return [_DRAWERS[name](name) for name in names or _DRAWERS]


def from_folder(folder: Path) -> list[Picture]:
    """Read the pictures of a folder with ``truth.json`` and ``img/``."""
    truths = json.loads((folder / "truth.json").read_text())
    return [
        Picture(
            name=name,
            group=truth["group"],
            content=(folder / "img" / truth["file"]).read_bytes(),
            lines=tuple(truth["lines"]),
            lang=truth.get("lang", "eng"),
            rows=tuple(map(tuple, truth.get("rows") or ())),
            pairs=tuple(map(tuple, truth.get("pairs") or ())),
            is_code=bool(truth.get("code")),
        )
        for name, truth in truths.items()
    ]


def _wrap(text: str, width: float, size: int) -> list[str]:
    """Divide a text into lines of at most this width, in pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font(size).getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _columns(name: str, count: int) -> Picture:
    """Draw a heading over columns of prose."""
    size, width, gap, pitch = 16, 330, 36, 24
    columns = [_wrap(text, width, size) for text in _PROSE[:count]]
    heading = "Notes from the harbour"
    height = 70 + pitch * max(map(len, columns)) + MARGIN
    canvas = Canvas(2 * MARGIN + count * width + (count - 1) * gap, height)
    canvas.text(MARGIN, 20, heading, 26)
    for column, lines in enumerate(columns):
        for number, line in enumerate(lines):
            canvas.text(MARGIN + column * (width + gap), 70 + number * pitch, line, size)
    lines = [heading, *(line for column in columns for line in column)]
    return Picture(name, "columns", canvas.png(), tuple(lines))


def _code(
    name: str,
    lines: tuple[str, ...],
    size: int,
    colour: Colour = "black",
    ground: Colour = "white",
    spacing: float = 1.5,
) -> Picture:
    content = page(lines, size, colour, ground, is_mono=True, spacing=spacing)
    return Picture(name, "code", content, lines, is_code=True)


def _notice(name: str, group: str, size: int = 20, colour: Colour = "black", ground: Colour = "white") -> Picture:
    return Picture(name, group, page(_NOTICE, size, colour, ground), _NOTICE)


def _other_script(name: str, lines: tuple[str, ...], lang: str) -> Picture:
    return Picture(name, "another script", page(lines), lines, lang=lang)


def _table(name: str) -> Picture:
    return Picture(name, "tables", table(_TABLE), tuple(" ".join(row) for row in _TABLE), rows=_TABLE)


def _wrapped_table(name: str, pitch: int) -> Picture:
    """Draw a table without lines whose cells have several lines. The truth has each row as one line.

    Args:
        name: name of the picture.
        pitch: pixels from one line of a cell to the next.
    """
    size, gap, widths = 16, 18, (90, 260, 260)
    canvas, top = Canvas(sum(widths) + 2 * MARGIN, 13 * pitch + 5 * gap + 2 * MARGIN), float(MARGIN)
    for row in _WRAPPED:
        cells = [_wrap(cell, width - 44, size) for cell, width in zip(row, widths, strict=True)]
        for column, cell in enumerate(cells):
            for number, line in enumerate(cell):
                canvas.text(MARGIN + sum(widths[:column]), top + number * pitch, line, size)
        top += pitch * max(map(len, cells)) + gap
    return Picture(name, "tables", canvas.png(), tuple(" ".join(row) for row in _WRAPPED), rows=_WRAPPED)


def _small_in_4k(name: str) -> Picture:
    """Draw a window with small text on a large, mostly empty screen."""
    canvas = Canvas(3840, 2160, (24, 40, 66))
    canvas.box((2300, 1200, 2860, 1360), (240, 240, 240), "grey")
    for number, line in enumerate(_NOTICE):
        canvas.text(2316, 1212 + number * 22, line, 12)
    return Picture(name, "small text", canvas.png(), _NOTICE)


def _turned(name: str, degrees: int) -> Picture:
    upright = Image.open(io.BytesIO(page(_SHORT_NOTICE)))
    return Picture(name, "turned pages", _png(upright.rotate(degrees, expand=True)), _SHORT_NOTICE)


def _on_nothing(name: str, colour: str) -> Picture:
    """Draw the notice on transparent pixels of the same colour."""
    background = (0, 0, 0, 0) if colour == "black" else (255, 255, 255, 0)
    image = Image.new("RGBA", (860, 170), background)
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(_SHORT_NOTICE):
        draw.text((MARGIN, MARGIN + 30 * number), line, colour, font(20))
    return Picture(name, "transparency", _png(image), _SHORT_NOTICE)


def _animation(name: str) -> Picture:
    frames = []
    for lines in _FRAMES:
        canvas = Canvas(420, 130)
        for number, line in enumerate(lines):
            canvas.text(MARGIN, MARGIN + 40 * number, line, 24)
        frames.append(canvas.image)
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=500)
    return Picture(name, "frames", file.getvalue(), tuple(line for frame in _FRAMES for line in frame))


def _long_page(name: str) -> Picture:
    chosen = random.Random(_SEED)
    words = [word.strip(".,") for word in " ".join(_PROSE).split()]
    lines = [f"{number:03d} {' '.join(chosen.choices(words, k=8))}" for number in range(1, LONG_LINES + 1)]
    return Picture(name, "long page", page(lines, 18), tuple(lines))


def _no_text(name: str, draw: Callable[[], bytes]) -> Picture:
    return Picture(name, "no text", draw())


def _nothing() -> bytes:
    return Canvas(400, 300).png()


def _strokes() -> bytes:
    """Draw curves and lines that are no letters."""
    chosen = random.Random(_SEED)
    canvas = Canvas(500, 360)
    for _ in range(14):
        x, y = chosen.randint(30, 380), chosen.randint(30, 260)
        box = (x, y, x + chosen.randint(30, 90), y + chosen.randint(20, 70))
        canvas.draw.arc(box, chosen.randint(0, 180), chosen.randint(200, 360), fill="black", width=3)
        canvas.draw.line((x, y, chosen.randint(30, 470), chosen.randint(30, 330)), fill="grey", width=2)
    return canvas.png()


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


_DRAWERS: dict[str, Callable[[str], Picture]] = {
    "columns-2": partial(_columns, count=2),
    "columns-3": partial(_columns, count=3),
    "code-light": partial(_code, lines=_YAML, size=18),
    "code-dark": partial(_code, lines=_PYTHON, size=18, colour=(212, 212, 212), ground=(30, 30, 30)),
    "terminal": partial(_code, lines=_TERMINAL, size=16, colour=(120, 220, 120), ground="black", spacing=1.25),
    "table": _table,
    "table-wrapped": partial(_wrapped_table, pitch=18),
    "table-wrapped-wide": partial(_wrapped_table, pitch=22),
    "small-8": partial(_notice, group="small text", size=8),
    "small-10": partial(_notice, group="small text", size=10),
    "small-in-4k": _small_in_4k,
    "turned-90": partial(_turned, degrees=90),
    "turned-180": partial(_turned, degrees=180),
    "turned-270": partial(_turned, degrees=270),
    "clear-black": partial(_on_nothing, colour="black"),
    "clear-white": partial(_on_nothing, colour="white"),
    "faint": partial(_notice, group="contrast", colour=(136, 136, 136), ground=(128, 128, 128)),
    "cyrillic": partial(_other_script, lines=_RUSSIAN, lang="rus"),
    "greek": partial(_other_script, lines=_GREEK, lang="ell"),
    "frames": _animation,
    "long": _long_page,
    "empty": partial(_no_text, draw=_nothing),
    "strokes": partial(_no_text, draw=_strokes),
}
