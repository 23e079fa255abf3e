"""Pictures whose content is more than text: charts, counts, colours, places, user interfaces, and empty pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from litellm_image_analysis.cli.evaluate.drawing import Canvas, bars
from litellm_image_analysis.cli.evaluate.picture import Fact, Picture, Truth

_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine"}
_BARS = (
    ("Sales", (("Q1", 42), ("Q2", 57), ("Q3", 31), ("Q4", 68)), "kEUR"),
    ("Rainfall", (("May", 61), ("Jun", 48), ("Jul", 83)), "mm"),
)
_SCALES = (
    ("Visitors", (("Mon", 20), ("Tue", 80), ("Wed", 40)), "thousand"),
    ("Errors", (("eu", 75), ("us", 25), ("ap", 100)), "per day"),
)
_COUNTS = (
    (("circle", "red", 3),),
    (("square", "blue", 7),),
    (("triangle", "green", 5),),
    (("circle", "orange", 2), ("square", "black", 6)),
)
_GROUNDS = (
    ("circle", "red", "white"),
    ("square", "green", "yellow"),
    ("triangle", "white", "blue"),
)
_PLACES = (
    ("circle", "red", "square", "blue"),
    ("triangle", "green", "circle", "black"),
    ("square", "orange", "triangle", "purple"),
)
_BOXES = (
    (("Send updates", True), ("Share location", False), ("Dark theme", True)),
    (("Nightly backup", False), ("Compress", False), ("Encrypt", True)),
)


def pictures_of_things() -> Iterator[Picture]:
    """Draw the pictures."""
    yield from _charts()
    for number, shapes in enumerate(_COUNTS, 1):
        facts = tuple(_count(*shape) for shape in shapes)
        png = _shapes([(kind, colour) for kind, colour, count in shapes for _ in range(count)])
        yield Picture(f"count-{number}", "counting", png, Truth(facts=facts), "How many of each are there?")
    for number, (kind, colour, ground) in enumerate(_GROUNDS, 1):
        facts = (
            Fact(f"There is a {colour} {kind}.", (colour, kind)),
            Fact(f"The background is {ground}.", (rf"ground.*{ground}|{ground}.*ground|on (?:a )?{ground}",)),
        )
        yield Picture(f"colour-{number}", "colours", _shapes([(kind, colour)], ground), Truth(facts=facts))
    yield from _places()
    yield from _interfaces()
    yield Picture("empty-white", "empty", Canvas(320, 240).png(), Truth(never=_ANY_TEXT))
    yield Picture("empty-grey", "empty", Canvas(320, 240, "#888888").png(), Truth(never=_ANY_TEXT))


_ANY_TEXT = (
    r"[\"\N{LEFT DOUBLE QUOTATION MARK}].+[\"\N{RIGHT DOUBLE QUOTATION MARK}]",
    r"\b(?:text|words?|caption)\b.{0,20}\b(?:reads?|says?|saying)\b",
)


def _charts() -> Iterator[Picture]:
    for number, (title, values, unit) in enumerate(_BARS, 1):
        png = bars(title, values, unit, shows_values=True)
        facts = tuple(Fact(f"{name}: {value} {unit}.", (_valued(name, str(value)),)) for name, value in values)
        yield Picture(f"chart-{number}", "charts", png, Truth((f"{title} ({unit})",), facts=facts))
    for number, (title, values, unit) in enumerate(_SCALES, len(_BARS) + 1):
        png = bars(title, values, unit, shows_values=False)
        most, least = max(values, key=lambda each: each[1])[0], min(values, key=lambda each: each[1])[0]
        facts = (
            *(Fact(f"{name}: about {value}.", (_valued(name, _about(value)),)) for name, value in values),
            Fact(f"{most} is the highest.", (rf"{most.lower()}\b.*high|high.*\b{most.lower()}",)),
            Fact(f"{least} is the lowest.", (rf"{least.lower()}\b.*low|low.*\b{least.lower()}",)),
        )
        truth = Truth((f"{title} ({unit})",), facts=facts, has_estimates=True)
        yield Picture(f"chart-{number}", "charts", png, truth, "Which bars are the highest and the lowest?")


def _valued(name: str, value: str) -> str:
    """Return a pattern for a name and the value that belongs to it."""
    return rf"\b{name.lower()}\b\D{{0,40}}\b(?:{value})\b"


def _about(value: int) -> str:
    """Return a pattern for a value within five of this one, which is how well an axis can be read."""
    return "|".join(str(number) for number in range(value - 5, value + 6))


def _count(kind: str, colour: str, count: int) -> Fact:
    return Fact(f"There are {count} {colour} {kind}s.", (rf"\b(?:{count}|{_NUMBERS[count]})\b", colour, kind))


def _shapes(shapes: Sequence[tuple[str, str]], ground: str = "white") -> bytes:
    """Draw shapes in a grid."""
    columns = min(len(shapes), 4)
    canvas = Canvas(max(240, 100 * columns + 40), 100 * ((len(shapes) + 3) // 4) + 60, ground)
    for number, (kind, colour) in enumerate(shapes):
        getattr(canvas, kind)(70 + 100 * (number % 4), 80 + 100 * (number // 4), 32, colour)
    return canvas.png()


def _places() -> Iterator[Picture]:
    for number, (left, left_colour, right, right_colour) in enumerate(_PLACES, 1):
        canvas = Canvas(460, 200)
        getattr(canvas, left)(100, 100, 44, left_colour)
        getattr(canvas, right)(360, 100, 44, right_colour)
        fact = Fact(
            f"The {left_colour} {left} is to the left of the {right_colour} {right}.",
            (rf"{left}\b[^,]*\bleft|left\b[^,]*{left}|{right}\b[^,]*\bright\b|right\b[^,]*{right}",),
        )
        wrong = (rf"{left} (?:is )?(?:on|to) the right|{right} (?:is )?(?:on|to) the left",)
        yield Picture(f"place-{number}", "places", canvas.png(), Truth(facts=(fact,), never=wrong))
    canvas = Canvas(520, 160)
    for x, name in ((30, "Client"), (200, "Gateway"), (380, "Provider")):
        canvas.box((x, 50, x + 115, 110), line="black")
        canvas.text(x + 14, 68, name, 18)
    canvas.arrow((145, 80), (198, 80))
    canvas.arrow((378, 80), (317, 80))
    facts = (
        Fact("An arrow goes from Client to Gateway.", (r"client.*(?:to|\N{RIGHTWARDS ARROW}|->).*gateway",)),
        Fact("An arrow goes from Provider to Gateway.", (r"provider.*(?:to|\N{RIGHTWARDS ARROW}|->).*gateway",)),
    )
    never = (r"gateway (?:to|\N{RIGHTWARDS ARROW}|->) (?:the )?(?:client|provider)",)
    yield Picture("place-4", "places", canvas.png(), Truth(("Client", "Gateway", "Provider"), facts=facts, never=never))


def _interfaces() -> Iterator[Picture]:
    for number, boxes in enumerate(_BOXES, 1):
        canvas = Canvas(380, 60 + 50 * len(boxes), "#f4f4f4")
        for line, (name, is_ticked) in enumerate(boxes):
            top = 30 + 50 * line
            canvas.box((30, top, 56, top + 26), "white", "black")
            if is_ticked:
                canvas.draw.line((34, top + 13, 41, top + 21, 53, top + 4), fill="black", width=4)
            canvas.text(72, top, name, 20)
        facts = tuple(_ticked(name, is_ticked=is_ticked) for name, is_ticked in boxes)
        lines = tuple(name for name, _ in boxes)
        yield Picture(f"ui-{number}", "interfaces", canvas.png(), Truth(lines, facts=facts), "Which boxes are ticked?")
    canvas = Canvas(440, 190)
    for number, (name, is_open) in enumerate((("General", False), ("Network", True), ("Users", False))):
        left = 20 + 130 * number
        canvas.box((left, 20, left + 126, 60), "white" if is_open else "#cccccc", "black")
        canvas.text(left + 16, 28, name, 19)
    canvas.box((20, 120, 140, 160), "#1a66cc")
    canvas.text(52, 128, "Save", 19, "white")
    canvas.box((160, 120, 300, 160), "#dddddd")
    canvas.text(190, 128, "Delete", 19, "#aaaaaa")
    facts = (
        Fact("The tab Network is active.", (r"network", r"active|selected|open|current|highlight")),
        Fact("The button Delete is disabled.", (r"delete", r"disabled|grey|gray|inactive|faded|unavailable")),
    )
    lines = ("General", "Network", "Users", "Delete")
    yield Picture("ui-3", "interfaces", canvas.png(), Truth(lines, facts=facts))


def _ticked(name: str, *, is_ticked: bool) -> Fact:
    said = f"{name} is ticked." if is_ticked else f"{name} is not ticked."
    no = r"not (?:ticked|checked|selected)|un(?:ticked|checked|selected)|empty|\[ \]|\N{BALLOT BOX}|\boff\b"
    signs = r"\[x\]|\N{BALLOT BOX WITH CHECK}|\N{BALLOT BOX WITH X}|\N{CHECK MARK}|\bon\b"
    yes = rf"(?<!not )(?<!un)(?:ticked|checked|selected)\b|{signs}"
    return Fact(said, (name.lower(), yes if is_ticked else no))
