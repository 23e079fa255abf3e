"""Clients that disconnect: detection and cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.proxy.connections import ConnectionMiddleware, add_headers, cancel_on_disconnect

HTTP: dict[str, Any] = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}
BODY = {"type": "http.request", "body": b"all of it", "more_body": False}
GONE = {"type": "http.disconnect"}


class Client:
    """One ASGI request in a number of messages."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.receive = self._messages.get
        self.sent: list[Any] = []
        for message in messages:
            self.tell(message)

    def tell(self, message: dict[str, Any]) -> None:
        self._messages.put_nowait(message)

    async def send(self, message: Any) -> None:
        self.sent.append(message)


class Work:
    """Work that lasts until the test ends it."""

    def __init__(self) -> None:
        self.is_begun, self.may_end, self.was_cancelled = asyncio.Event(), asyncio.Event(), False

    async def __call__(self) -> str:
        self.is_begun.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        return "done"


@pytest.fixture
def settings(proxy_module: ModuleType) -> dict[str, Any]:
    """The proxy's general settings with ``cancel_on_disconnect``."""
    found = vars(proxy_module)["general_settings"] = {"cancel_on_disconnect": True}
    return found


def serving(work: Work, *, reads: bool = True) -> ConnectionMiddleware:
    """An application that does this work for each request."""

    async def serve(request: Request) -> PlainTextResponse:
        if reads:
            await request.body()
        try:
            return PlainTextResponse(await cancel_on_disconnect(work()))
        except RequestError as error:
            return PlainTextResponse(error.message, error.status_code)

    return ConnectionMiddleware(Starlette(routes=[Route("/", serve, methods=["POST"])]))


async def others() -> set[asyncio.Task[Any]]:
    """Other tasks that are still running after a turn of the loop."""
    for _ in range(5):
        await asyncio.sleep(0)
    return asyncio.all_tasks() - {asyncio.current_task()}


async def test_who_hangs_up_ends_what_is_done_for_it(settings: dict[str, Any]) -> None:
    work, client = Work(), Client(BODY)
    served = asyncio.ensure_future(serving(work)(HTTP, client.receive, client.send))
    await work.is_begun.wait()
    client.tell(GONE)
    await served
    assert work.was_cancelled
    assert client.sent[0]["status"] == 499
    assert await others() == set()


async def test_who_stays_is_served_and_watched_no_longer(settings: dict[str, Any]) -> None:
    work, client = Work(), Client(BODY)
    served = asyncio.ensure_future(serving(work)(HTTP, client.receive, client.send))
    await work.is_begun.wait()
    work.may_end.set()
    await served
    assert [client.sent[0]["status"], client.sent[1]["body"]] == [200, b"done"]
    assert await others() == set()


@pytest.mark.parametrize("how", [{}, {"cancel_on_disconnect": None}, {"cancel_on_disconnect": False}])
async def test_litellm_s_own_setting_says_whether_that_matters(settings: dict[str, Any], how: dict[str, Any]) -> None:
    settings.clear()
    settings.update(how)
    work, client = Work(), Client(BODY, GONE)
    served = asyncio.ensure_future(serving(work)(HTTP, client.receive, client.send))
    await work.is_begun.wait()
    work.may_end.set()
    await served
    assert not work.was_cancelled
    assert client.sent[0]["status"] == 200


@pytest.mark.usefixtures("settings")
async def test_a_request_that_nobody_has_read_is_left_to_who_will() -> None:
    work, client = Work(), Client(BODY, GONE)
    served = asyncio.ensure_future(serving(work, reads=False)(HTTP, client.receive, client.send))
    await work.is_begun.wait()
    await others()
    work.may_end.set()
    await served
    assert client.sent[0]["status"] == 200
    assert await client.receive() == BODY


@pytest.mark.usefixtures("settings")
async def test_a_failure_is_the_work_s_own() -> None:
    async def fail() -> str:
        raise LookupError

    async def serve(request: Request) -> PlainTextResponse:
        await request.body()
        with pytest.raises(LookupError):
            await cancel_on_disconnect(fail())
        return PlainTextResponse("?")

    client = Client(BODY)
    app = ConnectionMiddleware(Starlette(routes=[Route("/", serve, methods=["POST"])]))
    await app(HTTP, client.receive, client.send)
    assert client.sent[0]["status"] == 200


@pytest.mark.usefixtures("settings")
async def test_who_is_cancelled_stays_cancelled() -> None:
    work, client = Work(), Client(BODY)
    served = asyncio.ensure_future(serving(work)(HTTP, client.receive, client.send))
    await work.is_begun.wait()
    served.cancel()
    await asyncio.wait([served])
    assert served.cancelled()
    assert await others() == set()


@pytest.mark.usefixtures("settings")
async def test_a_server_that_fails_to_say_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    work, messages = Work(), iter([BODY])

    async def receive() -> Any:
        try:
            return next(messages)
        except StopIteration:
            raise OSError from None

    client = Client()
    served = asyncio.ensure_future(serving(work)(HTTP, receive, client.send))
    await work.is_begun.wait()
    assert await others() == {served}
    work.may_end.set()
    await served
    assert client.sent[0]["status"] == 200
    assert "watching for a disconnect" in caplog.text


@pytest.mark.usefixtures("settings")
async def test_where_nobody_watches_work_is_done() -> None:
    work = Work()
    work.may_end.set()
    assert await cancel_on_disconnect(work()) == "done"


async def test_that_a_client_is_gone_is_said_as_often_as_it_is_asked() -> None:
    """Servers report it once, but both this package and LiteLLM ask."""
    said = []

    async def serve(scope: Any, receive: Callable[[], Any], send: Any) -> None:
        del scope, send
        said.extend([await receive() for _ in range(3)])

    client = Client(BODY, GONE)
    await ConnectionMiddleware(serve)(HTTP, client.receive, client.send)
    assert said == [BODY, GONE, GONE]


async def test_a_request_may_come_in_pieces() -> None:
    async def serve(request: Request) -> PlainTextResponse:
        with pytest.raises(ClientDisconnect):
            await request.body()
        return PlainTextResponse("?")

    client = Client({**BODY, "more_body": True}, GONE)
    await ConnectionMiddleware(Starlette(routes=[Route("/", serve, methods=["POST"])]))(
        HTTP, client.receive, client.send
    )
    assert client.sent[0]["status"] == 200


async def test_headers_are_added_to_those_of_the_response() -> None:
    async def serve(request: Request) -> PlainTextResponse:
        del request
        add_headers({"x-images": "1", "x-cost": "2"})
        return PlainTextResponse("?", headers={"x-cost": "3"})

    client = Client(BODY)
    await ConnectionMiddleware(Starlette(routes=[Route("/", serve, methods=["POST"])]))(
        HTTP, client.receive, client.send
    )
    headers = dict(client.sent[0]["headers"])
    assert (headers[b"x-images"], headers[b"x-cost"]) == (b"1", b"3")


def test_without_a_connection_headers_are_not_needed() -> None:
    add_headers({"x-images": "1"})


async def test_what_is_no_request_passes_as_it_is() -> None:
    passed: list[object] = []

    async def serve(*connection: object) -> None:
        passed.extend(connection)

    client, scope = Client(), {"type": "lifespan"}
    await ConnectionMiddleware(serve)(scope, client.receive, client.send)
    assert passed == [scope, client.receive, client.send]
