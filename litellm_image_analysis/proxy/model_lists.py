"""Proxy: what LiteLLM's lists of models say about images.

Many clients attach images only to a model that takes them. A suffixed name, and a model whose images are analysed
without being asked for, takes images. LiteLLM copies ``supports_vision`` from the deployment, by which the plugin
decides. The flag is therefore changed in the response only.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.engine import containment, routing, vision_support
from litellm_image_analysis.engine.routing import RouterNames
from litellm_image_analysis.proxy.aliases import SuffixedAliases

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from litellm.router import Router

    from litellm_image_analysis.config import ImageAnalysisConfig
    from litellm_image_analysis.request.activation import Mode

_PATHS = ("/models", "/model/info", "/model_group/info")
"""The ends of the paths, such as ``/v1/models``. A proxy may be served under a root path."""

_LISTS = ("data", "models")
_NAMES = ("model_group", "model_name", "id", "slug")


def shown(answer: dict[str, Any], is_suffixed: Callable[[str], bool], is_analysed: Callable[[str], bool]) -> None:
    """Edit a list of models: models whose images are analysed take images, and suffixed names come last.

    Args:
        answer: LiteLLM's response. Its rows are changed in place.
        is_suffixed: whether a name is a model's name with the suffix.
        is_analysed: whether the images of a model are analysed without being asked for.
    """
    for key in _LISTS:
        rows = answer.get(key)
        if not isinstance(rows, list):
            continue
        plain: list[Any] = []
        suffixed: list[Any] = []
        for row in rows:
            name = _name(row)
            ends = name is not None and is_suffixed(name)
            (suffixed if ends else plain).append(row)
            holder = _flag_holder(row)
            if holder is not None and name is not None and (ends or is_analysed(name)):
                holder["supports_vision"] = True
        answer[key] = plain + suffixed


def _name(row: object) -> str | None:
    if not isinstance(row, dict):
        return None
    return next((row[key] for key in _NAMES if isinstance(row.get(key), str)), None)


def _flag_holder(row: object) -> dict[str, Any] | None:
    """Return the object in which a row says whether the model takes images. Most lists of names have none."""
    if not isinstance(row, dict):
        return None
    info = row.get("model_info")
    return info if isinstance(info, dict) else row if "supports_vision" in row else None


def is_model_list(scope: MutableMapping[str, Any]) -> bool:
    """Return whether a request asks for a list of models."""
    is_get: bool = scope["type"] == "http" and scope["method"] == "GET"
    return is_get and scope["path"].rstrip("/").endswith(_PATHS)


class ModelListMiddleware:
    """ASGI middleware that edits the lists of models of LiteLLM's API.

    Args:
        app: the ASGI application that serves the requests.
        config: the settings.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], config: ImageAnalysisConfig) -> None:
        self._app = app
        self.config = config

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Serve one connection."""
        await self._app(scope, receive, _Editor(send, self._edited).send if is_model_list(scope) else send)

    def _edited(self, body: bytes) -> bytes:
        with containment.log_and_continue("editing a list of models"):
            answer, router = json.loads(body), routing.running_router()
            if isinstance(answer, dict) and router is not None:
                names = _Names(router, self.config.mode)
                shown(answer, names.is_suffixed, names.is_analysed)
                return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
        return body


class _Editor:
    """Edits the body of a JSON response on its way to the client."""

    def __init__(self, send: Callable[[Any], Awaitable[None]], edit: Callable[[bytes], bytes]) -> None:
        self._send, self._edit = send, edit
        self._start: MutableMapping[str, Any] | None = None
        self._body = b""

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Send a message to the client. The head of a list of models waits for its body."""
        if message["type"] == "http.response.start" and _is_json(message):
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                body = self._edit(self._body)
                length = (b"content-length", str(len(body)).encode())
                others = [pair for pair in self._start["headers"] if pair[0].lower() != length[0]]
                await self._send({**self._start, "headers": [*others, length]})
                await self._send({"type": "http.response.body", "body": body})


def _is_json(start: MutableMapping[str, Any]) -> bool:
    headers = {name.lower(): value for name, value in start.get("headers", [])}
    is_json: bool = headers.get(b"content-type", b"").startswith(b"application/json")
    return start["status"] == 200 and is_json and b"content-encoding" not in headers


class _Names:
    """What is known about the names of a router's models."""

    def __init__(self, router: Router, mode: Mode) -> None:
        self._names, self._mode = RouterNames(router), mode
        self._view = self._names.view
        self._aliases = self._view.aliases()

    def is_suffixed(self, name: str) -> bool:
        """Whether it is a model's name with the suffix."""
        return isinstance(self._aliases, SuffixedAliases) and self._aliases.stem(name, self._names) is not None

    def is_analysed(self, name: str) -> bool:
        """Whether the images of one of its deployments are analysed without being asked for."""
        return any(
            vision_support.is_analysed(each["litellm_params"]["model"], each.get("model_info") or {}, self._mode)
            for each in self._view.deployments(name)
        )
