"""Real coding agents with a real proxy and a text-only model: a session with many pictures, which is also resumed.

They are installed from npm and run for minutes, so this needs ``REAL_CLIENTS=1``, as in ``make nightly``.
``CLIENTS_REPORT`` names a JSON file for the questions to the vision model.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from clients.agents import CLIENTS, Client, Place
from support.agent_upstream import (
    TEXT_MODEL,
    VISION_MODEL,
    AgentUpstream,
    Recorder,
    dead_end,
    recording,
    running_agent_upstream,
)
from support.configs import deployment
from support.proxy import running_proxy

if os.environ.get("REAL_CLIENTS") != "1":
    pytest.skip("runs real coding agents: REAL_CLIENTS=1, as in make nightly", allow_module_level=True)

PICTURES = 25
"""More than ``max_images``."""
RULES = "PROJECT-RULE: keep it simple.\n" * 270
"""A project's instructions of about 8,000 characters."""
MODES = {"suffix": "on_request", "auto": "auto"}
"""The plugin's ``mode`` for each way to ask for analysis."""
REPORT: list[dict[str, Any]] = []


@pytest.fixture(autouse=True, scope="module")
def report() -> Iterator[None]:
    yield
    if path := os.environ.get("CLIENTS_REPORT"):
        Path(path).write_text(json.dumps(REPORT, indent=1, ensure_ascii=False) + "\n")


def screenshot(mark: int) -> bytes:
    """A PNG of 320 x 200 pixels. Each mark has a different one."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes((x * mark + y) % 251 for x in range(320) for _ in "rgb") for y in range(200))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 320, 200, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def config(upstream: AgentUpstream, **settings: Any) -> dict[str, Any]:
    url = f"http://127.0.0.1:{upstream.port}/v1"
    return {
        "model_list": [
            deployment("txt", TEXT_MODEL, url, provider="lm_studio", supports_vision=False),
            deployment("gpt-4o-mini", VISION_MODEL, url, supports_vision=True),
        ],
        "litellm_settings": {"callbacks": ["litellm_image_analysis.image_analysis"], "drop_params": True},
        "callback_settings": {"image_analysis": settings},
        "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
    }


class Session:
    """A session of a client with a proxy, and its requests."""

    def __init__(self, client: Client, place: Place, recorder: Recorder, upstream: AgentUpstream, dead: str) -> None:
        self.client, self.place, self.recorder, self.upstream, self.dead = client, place, recorder, upstream, dead
        self.turns = 0

    def say(self, words: str, *pictures: Path) -> None:
        """Run one turn, and check that the client prints the answer."""
        self.turns += 1
        files = f" READ-FILE:{';'.join(map(str, pictures))}" if pictures else ""
        prompt = f"TURN-{self.turns} {words}{files}"
        done = self.client.run(self.place, prompt, self.dead, resumed=self.turns > 1)
        failed = [(path, status) for path, _, status in self.recorder.requests if status >= 400]
        assert done.returncode == 0, (done.returncode, done.stdout[-2000:], done.stderr[-2000:], failed)
        assert f"The answer to TURN-{self.turns}." in done.stdout, (done.stdout[-2000:], done.stderr[-2000:], failed)


@contextmanager
def session(name: str, way: str, folder: Path, **settings: Any) -> Iterator[Session]:
    """A client in a folder with a project's instructions, with a proxy."""
    client = CLIENTS[name]
    try:
        client.installed()
    except RuntimeError as reason:
        pytest.skip(str(reason))
    home, work = folder / "home", folder / "work"
    home.mkdir()
    work.mkdir()
    (work / client.memory).write_text(RULES)
    with ExitStack() as stack:
        upstream = stack.enter_context(running_agent_upstream())
        proxy = stack.enter_context(running_proxy(config(upstream, mode=MODES[way], **settings), folder / "proxy"))
        recorder = stack.enter_context(recording(proxy.url))
        dead, asked = stack.enter_context(dead_end())
        place = Place(home, work, recorder.url, proxy.master_key, "txt" if way == "auto" else "txt-ocr")
        try:
            yield Session(client, place, recorder, upstream, dead)
        finally:
            seen = {"requests": recorder.requests, **vars(upstream), "asked": asked}
            (folder / "seen.json").write_text(json.dumps(seen, indent=1))
        assert asked == []


def pictures(folder: Path, numbers: range) -> list[Path]:
    paths = [folder / f"s{number:02}.png" for number in numbers]
    for number, path in zip(numbers, paths, strict=True):
        path.write_bytes(screenshot(number))
    return paths


def history(body: dict[str, Any]) -> list[str]:
    """The instructions and messages in a client's request, without keys for caches, whose places change."""
    instructions = [body.get(name) for name in ("system", "instructions", "systemInstruction")]
    messages = body.get("messages") or body.get("input") or body.get("contents") or []
    return [json.dumps(unmarked(item)) for item in [*instructions, *messages]]


def unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: unmarked(item) for key, item in value.items() if key != "cache_control"}
    return [unmarked(item) for item in value] if isinstance(value, list) else value


def continues(earlier: list[str], later: list[str]) -> bool:
    return later[: len(earlier)] == earlier


def kept_histories(session: Session) -> tuple[int, int]:
    """How many requests continue the previous one, as the client sends them and as the text model reads them."""
    sent = [history(body) for body in session.recorder.bodies()]
    read = [[json.dumps(message) for message in body["messages"]] for body in session.upstream.read]
    assert len(sent) == len(read)
    by_client = [continues(*pair) for pair in pairwise(sent)]
    by_model = [continues(*pair) for pair in pairwise(read)]
    changed = [index for index, (was, now) in enumerate(zip(by_client, by_model, strict=True)) if was and not now]
    assert changed == []
    assert sum(by_client) >= PICTURES
    return sum(by_client), len(by_client)


@pytest.mark.parametrize("way", MODES)
@pytest.mark.parametrize("name", CLIENTS)
def test_a_session_over_many_pictures_goes_on_when_it_is_resumed(name: str, way: str, tmp_path: Path) -> None:
    with session(name, way, tmp_path) as client:
        paths = pictures(client.place.work, range(PICTURES + 1))
        client.say("What do they show?", *paths[:PICTURES])
        client.say("Thank you.")
        client.say("And this one?", paths[-1])
        upstream = client.upstream
        assert upstream.refused == []
        assert upstream.misordered == []  # the results of a tool must follow its calls
        looked_at = Counter(mark for mark, _ in upstream.seen)
        assert list(looked_at.values()) == [1] * (PICTURES + 1)
        last = json.dumps(upstream.read[-1])
        assert [mark for mark in looked_at if f"a picture with mark {mark}" not in last] == []
        kept, pairs = kept_histories(client)
        questions = [question for _, question in upstream.seen]
        assert [question for question in questions if "PROJECT-RULE" in question] == []
        assert all("What do they show?" in question for question in questions[:PICTURES])
        assert "And this one?" in questions[-1]
        REPORT.append(
            {
                "client": client.client.package,
                "way": way,
                "requests": pairs + 1,
                "continue the one before": kept,
                "longest question": max(map(len, questions)),
                "last question": questions[-1],
            }
        )


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("settings", [{}, {"context_tags": []}], ids=["as it is", "without context_tags"])
def test_what_the_vision_model_is_asked(name: str, settings: dict[str, Any], tmp_path: Path) -> None:
    with session(name, "suffix", tmp_path, **settings) as client:
        client.say("What does it show?", *pictures(client.place.work, range(1)))
        ((_, question),) = client.upstream.seen
    rules = question.count("PROJECT-RULE") * len("PROJECT-RULE: keep it simple.\n")
    assert settings or not rules
    words = {"client": client.client.package, "settings": settings, "characters": len(question)}
    REPORT.append({**words, "of the project's file": rules, "question": question})
