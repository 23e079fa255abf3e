"""Measures a service that describes images for a text model, from outside: ``python -m benchmarks --peer URL``.

The service is any that speaks OpenAI's ``POST /chat/completions``. Its vision model has to be ``seeing`` and its text
model ``blind``, both at the provider that this module starts on the loopback port ``--provider-port``. The provider
answers the text model's requests with the number of images whose descriptions it was given.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import re
import secrets
import statistics
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from support.configs import deployment
from support.images import message, png_header, text
from support.proxy import running_proxy
from support.upstream import Body, Rule, Upstream, accepts_images, running_upstream

from benchmarks import report
from benchmarks.machine import about_this_run
from benchmarks.measure import Result, Row, Run, cpu_seconds

OURS = "ours"
_VISION, _TEXT = "seeing", "blind"
_SETTLE_SECONDS = 0.5  # until a service has written its logs


@dataclass(frozen=True)
class Service:
    """A running service.

    Attributes:
        url: its base URL, which ends with ``/v1`` in most services.
        model: the name of the text model there.
        key: the API key.
        pid: its process on this machine, if its CPU time is to be measured.
    """

    url: str
    model: str
    key: str
    pid: int | None


@dataclass(frozen=True)
class Request:
    """A request, ready to be sent, and how many images are in it."""

    body: bytes
    images: int


@dataclass(frozen=True)
class Load:
    """Requests that are measured together.

    Attributes:
        what: what they are, for the table.
        waves: requests of a wave are sent at once, and the next wave when all are answered.
        before: requests that are sent before. They are not measured.
        is_each: whether times are of a request, and not of all of them.
    """

    what: str
    waves: Sequence[Sequence[Request]]
    before: Sequence[Request] = ()
    is_each: bool = False


@dataclass(frozen=True)
class Cost:
    """What a load cost.

    Attributes:
        calls: vision calls.
        wall: seconds.
        cpu: seconds.
        complete: the share of requests whose answers show that the text model got a description of every image.
    """

    calls: int
    wall: float
    cpu: float
    complete: float


def loads(model: str, seed: int, run: Run) -> list[Load]:
    """Return all loads, with images that no other seed has."""
    source = random.Random(seed)
    count, again = run.many(60, 6), run.many(10, 2)
    same = _request(model, [_question("What is it?", _image(source, 190))])
    turns = [_question(f"What is in picture {turn}?", _image(source, 400)) for turn in range(run.many(10, 3))]
    large = _request(model, [_question("What is it?", _image(source, run.many(1290, 190)))])
    many = _request(model, [_question("What are they?", *(_image(source, 190) for _ in range(run.many(20, 3))))])
    return [
        Load(f"{count} identical requests at once, an image of 100 kB", [[same] * count]),
        Load(
            f"conversation of {len(turns)} turns, an image of 500 kB in each",
            [[_request(model, turns[: turn + 1])] for turn in range(len(turns))],
        ),
        Load("the same image of 5 MB again, a request", [[large]] * again, before=[large], is_each=True),
        Load(f"{many.images} images of 100 kB in one request", [[many]]),
    ]


def _question(words: str, *images: Body) -> Body:
    return message(text(words), *images)


def _request(model: str, questions: Sequence[Body]) -> Request:
    """A conversation that has an answer to each question but the last."""
    answers = [{"role": "assistant", "content": f"I see it, {number}."} for number in range(len(questions))]
    messages = [each for pair in zip(questions, answers, strict=True) for each in pair][:-1]
    images = sum(part["type"] == "image_url" for question in questions for part in question["content"])
    return Request(json.dumps({"model": model, "messages": messages}).encode(), images)


def _image(source: random.Random, width: int) -> Body:
    """A square PNG of noise, which has about ``3 * width ** 2`` bytes."""
    rows = b"".join(b"\0" + source.randbytes(3 * width) for _ in range(width))
    chunks = [(b"IDAT", zlib.compress(rows, 0)), (b"IEND", b"")]
    png = png_header(width, width) + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(png).decode()}"}}


async def measure(service: Service, provider: Upstream, run: Run) -> Result:
    """Send all loads to a service."""
    costs: dict[str, list[Cost]] = {}
    seed = secrets.randbits(64)  # a service may remember images of an earlier run
    async with httpx.AsyncClient(
        base_url=service.url.rstrip("/") + "/",
        headers={"Authorization": f"Bearer {service.key}", "Content-Type": "application/json"},
        limits=httpx.Limits(max_connections=None),
        timeout=600,
        trust_env=False,
    ) as client:
        [first, *_] = loads(service.model, seed, Run(is_quick=True))
        await _cost(client, service, provider, first)  # it may load code
        for turn in range(run.many(5)):
            for load in loads(service.model, seed + 1 + turn, run):
                costs.setdefault(load.what, []).append(await _cost(client, service, provider, load))
    return Result([row for what, each in costs.items() for row in _rows(what, each, has_cpu=service.pid is not None)])


async def _cost(client: httpx.AsyncClient, service: Service, provider: Upstream, load: Load) -> Cost:
    """Send a load, and return what it cost."""
    await _send(client, load.before)
    await asyncio.sleep(_SETTLE_SECONDS)
    provider.requests.clear()
    cpu, start = _cpu(service), time.perf_counter()
    complete = [is_complete for wave in load.waves for is_complete in await _send(client, wave)]
    wall = time.perf_counter() - start
    await asyncio.sleep(_SETTLE_SECONDS)
    share = len(complete) if load.is_each else 1
    calls = len(provider.calls(_VISION))
    return Cost(calls, wall / share, (_cpu(service) - cpu) / share, sum(complete) / len(complete))


async def _send(client: httpx.AsyncClient, requests: Sequence[Request]) -> list[bool]:
    """Send requests at once. Returns which answers are complete."""

    async def ask(request: Request) -> bool:
        try:
            response = await client.post("chat/completions", content=request.body)
        except httpx.TransportError:
            return False
        return response.status_code == 200 and _answer(response) == str(request.images)

    return await asyncio.gather(*map(ask, requests))


def _answer(response: httpx.Response) -> str:
    return str(response.json()["choices"][0]["message"]["content"]).strip()


def _cpu(service: Service) -> float:
    return 0.0 if service.pid is None else cpu_seconds(service.pid)


def _rows(what: str, costs: Sequence[Cost], *, has_cpu: bool) -> list[Row]:
    median = statistics.median
    cpu = [Row(f"{what}: CPU", median(cost.cpu for cost in costs) * 1e3, "ms")] if has_cpu else []
    return [
        Row(f"{what}: vision calls", median(cost.calls for cost in costs), "calls"),
        Row(f"{what}: wall time", median(cost.wall for cost in costs), "s"),
        *cpu,
        Row(f"{what}: share of complete answers", min(cost.complete for cost in costs), "ratio", at_least=1),
    ]


def rules(vision_seconds: float) -> list[Rule]:
    """Let the vision model be slow, and the text model answer with the number of descriptions that it was given."""
    return [
        Rule(lambda body: accepts_images(body["model"]), delay_seconds=vision_seconds),
        Rule(lambda _: True, text=lambda body: str(len(set(re.findall(r"with mark (\w+)", json.dumps(body)))))),
    ]


@contextmanager
def our_proxy(provider: Upstream) -> Iterator[Service]:
    """A LiteLLM proxy with this plugin."""
    config = {
        "model_list": [deployment("text", _TEXT, provider.base_url), deployment("vision", _VISION, provider.base_url)],
        "litellm_settings": {"callbacks": ["litellm_image_analysis.image_analysis"]},
        "callback_settings": {"image_analysis": {"vision_model": "vision"}},
        "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
    }
    with tempfile.TemporaryDirectory() as folder, running_proxy(config, Path(folder), fresh=True) as proxy:
        yield Service(f"{proxy.url}/v1", "text-ocr", proxy.master_key, proxy.process.pid)


def main() -> int:
    """Measure a service, print its figures, and put them into the JSON file beside those of other services."""
    arguments = _parser().parse_args()
    run = Run(is_quick=arguments.quick)
    with running_upstream(arguments.provider_port) as provider:
        provider.rules.extend(rules(0.05 if run.is_quick else 0.5))
        running = Service(arguments.peer, arguments.peer_model, arguments.peer_key, arguments.peer_pid)
        with our_proxy(provider) if arguments.peer == OURS else nullcontext(running) as service:
            result = asyncio.run(measure(service, provider, run))
    for row in result.rows:
        print(f"{row.what:<90}{report.amount(row):>12}  {report.verdict_of(row)}")
    if arguments.json is not None:
        _put(arguments.json, arguments.peer_name, arguments.peer_version, result)
    return 0 if all(row.is_met for row in result.rows) else 1


def _put(path: Path, name: str, version: str, result: Result) -> None:
    services: Mapping[str, Any] = report.read(path)
    about = {"version": version, "run": about_this_run()}
    path.write_text(report.as_text({**services, name: {**about, **result.as_json()}}))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--peer", required=True, metavar="URL", help=f"{OURS!r} starts a LiteLLM proxy with this plugin"
    )
    parser.add_argument("--peer-model", default=_TEXT, metavar="NAME", help="the text model's name there")
    parser.add_argument("--peer-key", default="sk-peer", metavar="KEY", help="API key")
    parser.add_argument("--peer-pid", type=int, metavar="PID", help="its process here, to measure CPU time")
    parser.add_argument("--peer-name", default="peer", metavar="NAME", help="its name in the JSON file")
    parser.add_argument("--peer-version", default="", metavar="TEXT", help="its version in the JSON file")
    parser.add_argument("--provider-port", type=int, default=9090, metavar="PORT", help="9090 by default")
    parser.add_argument("--quick", action="store_true", help="only show that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="put the figures into this file of services")
    return parser


if __name__ == "__main__":
    sys.exit(main())
