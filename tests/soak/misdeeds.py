"""Requests to a proxy with which one tenant may harm others."""

from __future__ import annotations

import base64
import io
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

from support.billing import ROUTES
from support.images import image, message, text

MODEL, SEEING_MODEL = "deepseek-chat-ocr", "multimodal"
OWN_EYES = "own-eyes"
"""The tenant's own vision model, with a wrong key."""
NAMESAKE = "other-vision"
"""Another one, with the same name as a model that all tenants share."""
SPENT_EYES = "spent-eyes"
"""A vision model that is over its budget."""
HUNG_EYES = "hung-eyes"
"""The vision model for images at which the provider hangs."""
LOCAL_EYES = "local-eyes"
"""OCR in the gateway's own process."""

TYPES = ["image/jpg", "image/bmp", "image/tiff", "image/heic", "image/x-ms-bmp", "IMAGE/PNG", "image/svg+xml"]
FAULTS = ["400", "401", "403", "404", "429", "500", "503", "reset", "cut", "no-json", "html", "empty", "no-choices"]
HANGS = ["hang", "hang-in-body"]
"""Without ``drip``, which would keep the test's own process busy."""
FORGED: dict[str, Any] = {
    "user_api_key": "sk-good-1",
    "user_api_key_hash": "sk-good-1",
    "user_api_key_team_id": "good",
    "image_analysis": {"cost": 1},
}
RESULTS, COPIES, QUESTIONS, SCANS, OBJECTS, ARGUMENT_CHARACTERS = 2000, 8000, 300, 3000, 400_000, 1_400_000

AT_ONCE = 20
"""The number of images in a request."""

Body = dict[str, Any]


@dataclass(frozen=True)
class Misdeed:
    """One request, and when its client disconnects."""

    kind: str
    path: str
    body: Body
    headers: Mapping[str, str] = field(default_factory=dict)
    leaves_after_seconds: float | None = None

    @property
    def content(self) -> bytes:
        """The body in bytes."""
        return json.dumps(self.body).encode()

    @property
    def without_analysis(self) -> Misdeed:
        """The same request to a model that accepts images, which the plugin does not analyse."""
        path = self.path.replace(MODEL, SEEING_MODEL)
        body = {key: value for key, value in self.body.items() if key != "ocr_model"}
        return replace(self, path=path, body={**body, "model": SEEING_MODEL})


class Misdeeds:
    """Requests of every kind. The same seed gives the same requests.

    Args:
        seed: the seed of the random choices.
        size: the size of the large requests, as a fraction of their full size.
    """

    def __init__(self, seed: int, size: float = 1) -> None:
        self._random, self._size, self._made = random.Random(seed), size, 0

    def deal(self, times: int = 1) -> list[Misdeed]:
        """Return small requests in multiples of the numbers in ``SMALL``, and each large one once, in random order."""
        kinds = [*LARGE, *(kind for kind, (share, _) in SMALL.items() for _ in range(share * times))]
        self._random.shuffle(kinds)
        return [replace(self._next(kind), kind=kind) for kind in kinds]

    def _next(self, kind: str) -> Misdeed:
        self._made += 1
        if kind in LARGE:
            return LARGE[kind](self._made, self._size)
        _, make = SMALL[kind]
        return make(self._random, self._made)


def ask(chosen: random.Random, *marks: str, question: str = "What is it?", **more: Any) -> Misdeed:
    """An ordinary request for these images on any route, with further parameters."""
    route, stream = chosen.choice([*ROUTES]), chosen.random() < 0.5
    path, body = ROUTES[route](MODEL, question, [*marks], stream=stream)
    return Misdeed("", path, {"model": MODEL, **body, **more})


def chat(*messages: Body, **more: Any) -> Misdeed:
    """A request of chat completions."""
    return Misdeed("", "/v1/chat/completions", {"model": MODEL, "messages": [*messages], **more})


def odd_head(chosen: random.Random, number: int) -> Misdeed:
    """An image with an unusual or wrong head."""
    misdeed = ask(chosen, f"{chosen.choice(['head', '500'])} {number}")
    words = json.dumps(misdeed.body).replace(";base64,", chosen.choice([";BASE64,", ";Base64,"]))
    if chosen.random() < 0.5:
        words = words.replace("image/png", chosen.choice(TYPES))
    return replace(misdeed, body=json.loads(words))


def odd_options(chosen: random.Random, number: int) -> Misdeed:
    """An image with an odd ``detail`` or ``format``."""
    option: dict[str, Any] = {chosen.choice(["detail", "format"]): chosen.choice(["x" * 100_000, "video/mp4", 7, None])}
    return chat(message(text("What is it?"), image(f"options {number}", **option)))


def url(chosen: random.Random, number: int) -> Misdeed:
    """An image behind a URL that is missing, fails or hangs."""
    what = chosen.choice(["404", "400", "500", *HANGS])
    part = {"type": "image_url", "image_url": {"url": f"https://pictures.example/{number}/{what}"}}
    return chat(message(text("What is it?"), part), stream=chosen.random() < 0.5)


def copies(number: int, size: float) -> Misdeed:
    """One image thousands of times."""
    return chat(message(text("What is it?"), *[image(f"copies {number}")] * round(COPIES * size)))


def many_questions(number: int, size: float) -> Misdeed:
    """One image with hundreds of questions."""
    asked = (text(f"Question {each}?") for each in range(round(QUESTIONS * size)))
    return chat(*(message(question, image(f"questions {number}")) for question in asked))


def tool_results(number: int, size: float) -> Misdeed:
    """One tool call of more than a megabyte with thousands of results, each of them an image."""
    arguments = json.dumps({"at": "x" * round(ARGUMENT_CHARACTERS * size)})
    call = {"id": f"call_{number}", "type": "function", "function": {"name": "look", "arguments": arguments}}
    result = message(image(f"result {number}"), role="tool", tool_call_id=f"call_{number}")
    called = {"role": "assistant", "content": None, "tool_calls": [call]}
    return chat(message(text("Look!")), called, *[result] * round(RESULTS * size))


def objects(number: int, size: float) -> Misdeed:
    """Eleven megabytes of small objects beside an image."""
    small: list[Body] = [{"a": {"b": [1, {"c": number}]}}] * round(OBJECTS * size)
    return chat(message(text("What is it?"), image(f"objects {number}"), {"type": "text", "text": "?", "x": small}))


def scans(number: int, size: float) -> Misdeed:
    """A progressive JPEG whose last scan is repeated thousands of times, for ``local-ocr``."""
    from PIL import Image

    written = io.BytesIO()
    Image.new("L", (800 + number % 100, 800), 200).save(written, "JPEG", progressive=True)
    jpeg = written.getvalue()
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    encoded = base64.b64encode(jpeg[:-2] + scan * round(SCANS * size) + jpeg[-2:]).decode()
    part = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{encoded}"}}
    return chat(message(text("What is it?"), part), ocr_model=LOCAL_EYES)


def cancelled(chosen: random.Random, number: int) -> Misdeed:
    """A client that disconnects during its vision calls."""
    misdeed = ask(chosen, *(f"{chosen.choice(['left', 'hang'])} {number} {each}" for each in range(3)))
    return replace(misdeed, leaves_after_seconds=chosen.uniform(0, 0.2))


def hanging(chosen: random.Random, number: int) -> Misdeed:
    """Images whose vision calls last as long as the gateway waits."""
    marks = (f"{chosen.choice(HANGS)} {number} {each}" for each in range(AT_ONCE))
    return ask(chosen, *marks, ocr_model=HUNG_EYES)


def tagged(chosen: random.Random, number: int) -> Misdeed:
    """A tag that no deployment serves."""
    return replace(ask(chosen, f"tagged {number}"), headers={"x-litellm-tags": "unheard-of"})


def forged(chosen: random.Random, number: int) -> Misdeed:
    """Metadata that name another tenant's key."""
    misdeed = ask(chosen, f"forged {number}")
    return replace(misdeed, body={**misdeed.body, chosen.choice(["litellm_metadata", "metadata"]): FORGED})


def control(chosen: random.Random, number: int) -> Misdeed:
    """An image of the other tenant or a new one, with cache control."""
    cache = chosen.choice(["x", 7, {"no-cache": True}, {"no-store": True}, {"no-cache": "yes", "ttl": "x"}])
    return ask(chosen, chosen.choice(["known 0", f"control {number}"]), cache=cache)


SMALL: dict[str, tuple[int, Callable[[random.Random, int], Misdeed]]] = {
    "odd head": (6, odd_head),
    "odd options": (3, odd_options),
    "url": (6, url),
    "surrogates": (3, lambda chosen, number: ask(chosen, f"half {number}", question=f"\ud83d {number}")),
    "provider fails": (8, lambda chosen, number: ask(chosen, f"{chosen.choice(FAULTS)} {number}")),
    "provider hangs": (3, hanging),
    "wrong key": (3, lambda chosen, number: ask(chosen, f"key {number}", ocr_model=OWN_EYES)),
    "wrong key of a namesake": (6, lambda chosen, number: ask(chosen, f"name {number}", ocr_model=NAMESAKE)),
    "over budget": (3, lambda chosen, number: ask(chosen, f"spent {number}", ocr_model=SPENT_EYES)),
    "tag": (3, tagged),
    "forged": (3, forged),
    "cache": (5, control),
    "short timeout": (4, lambda chosen, number: ask(chosen, f"short {number}", timeout=0.01)),
    "cancelled": (5, cancelled),
    "many at once": (3, lambda chosen, number: ask(chosen, *(f"many {number} {each}" for each in range(AT_ONCE)))),
    "many fail": (10, lambda chosen, number: ask(chosen, *(f"500 {number} {each}" for each in range(AT_ONCE)))),
}
"""The number of each small kind in a deal, and the function that makes one."""

LARGE: dict[str, Callable[[int, float], Misdeed]] = {
    "copies": copies,
    "questions": many_questions,
    "tool results": tool_results,
    "objects": objects,
    **({"scans": scans} if find_spec("rapidocr") is not None else {}),
}
