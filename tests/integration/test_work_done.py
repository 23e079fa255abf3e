"""What the hooks do for a request, counted: each bound is what it takes today, and a little more.

A hook runs for each request of a gateway, so that a second scan of an image or a function that is called for every
message is a loss that no test of behaviour sees. Counts do not depend on the machine. A change that takes less lowers
the bound here. One that has to take more raises it and says why.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, ClassVar, TypeVar

import anyio
import litellm
import pytest
from litellm.router import Router
from litellm.types.utils import CallTypes
from support.counting import Counted, calls_of, peak_of
from support.images import png_header
from support.redis_server import RedisServer
from support.text_requests import CALLER, text_request
from support.wires import WIRES, Wire, every_wire

from litellm_image_analysis import ImageAnalysis, ImageAnalysisConfig
from litellm_image_analysis.log import LOGGER
from litellm_image_analysis.request.activation import Mode

T = TypeVar("T", int, dict[str, int])

BLIND = {"supports_vision": False}
MARGIN = 1.05
"""Of the figures that are written here: those of today."""
PIECE = 64 * 1024
"""Characters of an image that are hashed or checked at once."""


@dataclass(frozen=True)
class Way:
    """A way to have images analysed: the mode in the settings, and the model that a request names."""

    mode: Mode
    model: str


WAYS = {
    "asked": Way("on_request", "deepseek-chat-ocr"),
    "before routing": Way("auto", "blindfolded"),
    "at the deployment": Way("auto", "deepseek-chat"),
}
"""The suffix asks. In ``mode: auto``, it depends on whether all deployments are known to take no images."""


@dataclass
class Gateway:
    """The plugin as a proxy calls it, and a vision model that answers at once.

    Attributes:
        wire: the wire format of the requests.
        way: how the requests come to be analysed.
        shown: the messages that the vision model got.
    """

    plugin: ImageAnalysis
    wire: Wire
    way: Way
    shown: list[Any] = field(default_factory=list)

    async def answer(self, *, messages: Any, **_: Any) -> Any:
        """Answer a vision call once all other requests wait."""
        self.shown.append(messages)
        await anyio.wait_all_tasks_blocked()
        return litellm.ModelResponse(choices=[{"message": {"content": "A cat."}}])

    async def serve(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the keyword arguments that a deployment is called with, which have no image any more."""
        data: dict[str, Any] = {**body, "model": self.way.model, self.wire.metadata: {}}
        for hook in (self.plugin.async_pre_call_hook, self.plugin._late_hook.async_pre_call_hook):
            await hook(CALLER, None, data, self.wire.call_type)
        metadata = {**data[self.wire.metadata], "model_info": BLIND, "model_group": data["model"]}
        called = {**data, "model": "openai/blind", "model_info": BLIND, self.wire.metadata: metadata}
        replaced = await self.plugin.async_pre_call_deployment_hook(called, CallTypes(self.wire.call_type))
        headers = await self.plugin.async_post_call_response_headers_hook(data, CALLER, response=None)
        assert headers is not None
        assert headers["x-litellm-image-analysis-failed"] == "0"
        return called if replaced is None else replaced


@pytest.fixture(params=list(WAYS.values()), ids=list(WAYS))
def way(request: pytest.FixtureRequest) -> Way:
    """All ways."""
    found: Way = request.param
    return found


@pytest.fixture
def gateway_of(
    proxy_module: ModuleType, router: Router, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Callable[..., Gateway]:
    """Make a gateway that logs no requests: what handlers do with a line depends on the tests that ran before."""
    caplog.set_level(logging.WARNING, LOGGER.name)

    def make(wire: Wire, way: Way, **settings: Any) -> Gateway:
        plugin = ImageAnalysis(ImageAnalysisConfig(vision_model="eyes", mode=way.mode, **settings))
        gateway = Gateway(plugin, wire, way)
        monkeypatch.setattr(router, "acompletion", gateway.answer)
        monkeypatch.setattr(litellm, "callbacks", [plugin, plugin._late_hook])
        return gateway

    vars(proxy_module).update(llm_router=router)
    return make


def payload(mark: int = 0, size: int = 1000) -> str:
    """The base64 of an image of about ``size`` bytes."""
    return base64.b64encode(png_header(100, 100) + mark.to_bytes(8, "big") + bytes(size)).decode()


class TestAnImage:
    SIZE = 5_000_000
    HEADERS = 8_000
    """Characters that are read of an image's head and header."""

    @every_wire
    async def test_a_remembered_one_is_read_once(
        self, gateway_of: Callable[..., Gateway], wire: Wire, way: Way
    ) -> None:
        gateway, text = gateway_of(wire, way), wire.text(payload(size=self.SIZE))
        await gateway.serve(wire.body(text))
        counted = Counted(text)
        await gateway.serve(wire.body(counted))
        assert len(gateway.shown) == 1
        assert (counted.passes, counted.searches) == ([], 0)
        assert counted.sliced < len(text) + self.HEADERS

    @every_wire
    async def test_a_new_one_is_read_twice_and_copied_for_its_url(
        self, gateway_of: Callable[..., Gateway], wire: Wire, way: Way
    ) -> None:
        """For its key, and to see whether it is base64. Base64 alone is copied into a ``data:`` URI."""
        gateway, counted = gateway_of(wire, way), Counted(wire.text(payload(size=self.SIZE)))
        await gateway.serve(wire.body(counted))
        assert len(gateway.shown) == 1
        assert (counted.passes, counted.searches) == ([], 0)
        assert counted.sliced < (2 if wire.holds_uri else 3) * len(counted) + self.HEADERS

    @every_wire
    async def test_memory_holds_three_pieces_of_it(
        self, gateway_of: Callable[..., Gateway], wire: Wire, way: Way
    ) -> None:
        """One as text and one as bytes. A new image whose URL has to be made is in memory once more."""
        gateway = gateway_of(wire, way)
        remembered, new, other = (wire.text(payload(mark, self.SIZE)) for mark in range(3))
        await gateway.serve(wire.body(remembered))
        await gateway.serve(wire.body(other))  # what is made for the first time
        assert await peak_of(gateway.serve(wire.body(remembered))) < 3 * PIECE + 32 * 1024
        of_url = 0 if wire.holds_uri else len(new)
        assert await peak_of(gateway.serve(wire.body(new))) < of_url + 3 * PIECE + 32 * 1024


class TestVisionCalls:
    @every_wire
    async def test_identical_requests_at_once_make_one(
        self, gateway_of: Callable[..., Gateway], wire: Wire, way: Way
    ) -> None:
        gateway = gateway_of(wire, way)
        await asyncio.gather(*(gateway.serve(wire.body(wire.text(payload()))) for _ in range(50)))
        assert len(gateway.shown) == 1

    @every_wire
    async def test_each_turn_of_a_conversation_makes_one(
        self, gateway_of: Callable[..., Gateway], wire: Wire, way: Way
    ) -> None:
        gateway, turns = gateway_of(wire, way), [wire.text(payload(turn)) for turn in range(12)]
        for turn in range(1, len(turns) + 1):
            await gateway.serve(wire.body(*turns[:turn]))
            assert len(gateway.shown) == turn


class TestRedis:
    """Round trips of a worker that is connected already."""

    @pytest.fixture
    async def worker(
        self, gateway_of: Callable[..., Gateway], redis: RedisServer
    ) -> AsyncIterator[Callable[[Wire, Way], Awaitable[Gateway]]]:
        """Start another worker of a gateway, with an empty memory."""
        workers: list[Gateway] = []

        async def start(wire: Wire, way: Way) -> Gateway:
            gateway = gateway_of(wire, way, cache={"backend": "redis", "redis_url": redis.url, "secret": "tests"})
            workers.append(gateway)
            await gateway.plugin._analyzer.cache.check()
            return gateway

        yield start
        for each in workers:
            await each.plugin.aclose()

    @every_wire
    async def test_any_number_of_remembered_images_takes_one(
        self, worker: Callable[[Wire, Way], Awaitable[Gateway]], redis: RedisServer, wire: Wire, way: Way
    ) -> None:
        body = wire.body(*(wire.text(payload(mark)) for mark in range(20)))
        await (await worker(wire, way)).serve(body)
        other = await worker(wire, way)
        with redis.commands() as commands:
            await other.serve(body)
        assert names_of(commands) == {"MGET": 1}

    @every_wire
    async def test_new_images_take_one_for_all_and_five_for_each(
        self, worker: Callable[[Wire, Way], Awaitable[Gateway]], redis: RedisServer, wire: Wire, way: Way
    ) -> None:
        """Each takes its lease, looks again, writes its answer, looks for a flush, and ends its lease by a script."""
        gateway, count = await worker(wire, way), 20
        await gateway.serve(wire.body(wire.text(payload(count))))  # Redis knows the script from now on
        with redis.commands() as commands:
            await gateway.serve(wire.body(*(wire.text(payload(mark)) for mark in range(count))))
        in_script = {"GET": count, "DEL": count}
        assert names_of(commands) == {"MGET": 1 + 2 * count, "SET": 2 * count, "EVALSHA": count, **in_script}


_OF_A_CONNECTION = {"HELLO", "CLIENT", "SELECT"}


def names_of(commands: Iterable[str]) -> Counter[str]:
    """How often each command was sent, without those of new connections."""
    names = (command.split()[0].upper() for command in commands)
    return Counter(name for name in names if name not in _OF_A_CONNECTION)


async def calls_by_hook(plugin: ImageAnalysis, data: dict[str, Any]) -> dict[str, int]:
    """The calls that each hook makes for a request of chat completions, in the order in which LiteLLM asks them."""
    response, called = litellm.ModelResponse(), {**data, "model": "openai/blind", "model_info": BLIND}
    logged = {"litellm_params": {"metadata": data["metadata"]}}
    hooks: dict[str, Callable[[], Awaitable[Any]]] = {
        "pre-call": lambda: plugin.async_pre_call_hook(CALLER, None, data, "acompletion"),
        "late pre-call": lambda: plugin._late_hook.async_pre_call_hook(CALLER, None, data, "acompletion"),
        "filter": lambda: plugin.async_filter_deployments("deepseek-chat", [], [], called),
        "deployment": lambda: plugin.async_pre_call_deployment_hook(called, CallTypes.acompletion),
        "success": lambda: plugin.async_post_call_success_deployment_hook(called, response, CallTypes.acompletion),
        "headers": lambda: plugin.async_post_call_response_headers_hook(data, CALLER, response),
        "logging": lambda: plugin.async_logging_hook(logged, response, "acompletion"),
        "log event": lambda: plugin.async_log_success_event(logged, response, None, None),
    }
    return {name: (await calls_of(hook())).total() for name, hook in hooks.items()}


def total(found: int | Mapping[str, int]) -> int:
    """The number of calls."""
    return sum(found.values()) if isinstance(found, Mapping) else found


class TestCallsOfFunctions:
    """Of Python's functions and built-in ones. Python 3.11 makes these, and later versions a few less."""

    WARM_UP = 2
    NOT_ASKED: ClassVar = {
        "pre-call": 49,
        "late pre-call": 17,
        "filter": 3,
        "deployment": 40,
        "success": 9,
        "headers": 9,
        "logging": 13,
        "log event": 12,
    }
    """By hook, for a text request that does not ask."""
    ASKED: ClassVar = {
        "pre-call": 375,
        "late pre-call": 178,
        "deployment": 46,
        "success": 31,
        "headers": 45,
        "log event": 20,
    }
    """The hooks that make more for one that asks."""
    OF_IMAGE: ClassVar = {
        "acompletion": {"on_request": 465, "auto": 497},
        "anthropic_messages": {"on_request": 530, "auto": 568},
        "aresponses": {"on_request": 425, "auto": 451},
        "agenerate_content": {"on_request": 593, "auto": 625},
    }
    """For a remembered image, by wire format."""
    OF_REQUEST: ClassVar = {"asked": 1130, "before routing": 983, "at the deployment": 1039}
    """For a request with remembered images, beside these: the most of all wire formats. 80 of them are for metrics."""

    async def settled(self, count: Callable[[], Awaitable[T]]) -> T:
        """What is counted once nothing is done for the first time any more: the least of three, without other tasks."""
        for _ in range(self.WARM_UP):
            await count()
        return min([await count() for _ in range(3)], key=total)

    @pytest.mark.parametrize(
        ("way", "changes"),
        [
            (Way("on_request", "deepseek-chat"), {}),
            (WAYS["asked"], ASKED),
            (WAYS["before routing"], {"late pre-call": 87}),
            (WAYS["at the deployment"], {"late pre-call": 52, "deployment": 97}),
        ],
        ids=["not asked", *WAYS],
    )
    async def test_of_each_hook_for_a_text_request(
        self, gateway_of: Callable[..., Gateway], way: Way, changes: dict[str, int]
    ) -> None:
        plugin = gateway_of(WIRES["chat"], way).plugin
        taken = await self.settled(lambda: calls_by_hook(plugin, text_request(way.model)))
        today = self.NOT_ASKED | changes
        assert {name: calls for name, calls in taken.items() if calls > MARGIN * today[name]} == {}

    @pytest.mark.parametrize(
        ("way", "today"),
        [(Way("on_request", "deepseek-chat"), 0), *((way, 15) for way in WAYS.values())],
        ids=["not asked", *WAYS],
    )
    async def test_of_a_further_message_of_three_texts(
        self, gateway_of: Callable[..., Gateway], way: Way, today: int
    ) -> None:
        plugin = gateway_of(WIRES["chat"], way).plugin

        async def calls(count: int) -> int:
            return sum((await calls_by_hook(plugin, text_request(way.model, count))).values())

        few, many = await self.settled(lambda: calls(100)), await self.settled(lambda: calls(300))
        assert many - few <= MARGIN * 200 * today

    @every_wire
    @pytest.mark.parametrize("name", WAYS)
    async def test_of_a_request_with_remembered_images(
        self, gateway_of: Callable[..., Gateway], wire: Wire, name: str
    ) -> None:
        gateway = gateway_of(wire, WAYS[name])

        async def calls(images: int) -> int:
            body = wire.body(*(wire.text(payload(mark)) for mark in range(images)))
            return (await calls_of(gateway.serve(body))).total()

        few, many = await self.settled(lambda: calls(4)), await self.settled(lambda: calls(8))
        of_image = (many - few) / 4
        of_request = few - 4 * of_image
        assert of_image <= MARGIN * self.OF_IMAGE[wire.call_type][gateway.way.mode]
        assert of_request <= MARGIN * self.OF_REQUEST[name]
