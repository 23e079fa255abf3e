"""``GET /image-analysis`` on LiteLLM's application, for callers whom LiteLLM's own auth knows as admins."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.compat import is_admin_only, proxy_global
from litellm_image_analysis.event_loops import computed
from litellm_image_analysis.page.html import paged, query_of, render
from litellm_image_analysis.page.journal import Filters, Journal, entry_of, merged
from litellm_image_analysis.page.shared import SharedJournal

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from litellm_image_analysis.analysis.report import Report
    from litellm_image_analysis.config import PageConfig
    from litellm_image_analysis.engine.analyzer import Analyzer
    from litellm_image_analysis.page.journal import Entry

PATH = "/image-analysis"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
LOGIN = {"WWW-Authenticate": 'Basic realm="LiteLLM", charset="UTF-8"'}

_FEW_ENTRIES = 200
_MOST_PAGES = 10_000
_ASK_AGAIN = (400, 401)  # without a database, LiteLLM answers 400 to a wrong key
_THIS_WORKER = "requests of this worker only"
_ALL_WORKERS = "requests of all workers"
_WITHOUT_REDIS = "Redis does not answer: requests of this worker only"


class Page:
    """The entries of this process and of other workers, and the responses that show them.

    Args:
        config: the settings of the page.
        analyzer: reports each request. With Redis in its cache, entries are shared.
    """

    def __init__(self, config: PageConfig, analyzer: Analyzer) -> None:
        self._most, self._shows_texts = config.max_entries, config.show_texts
        self._journal = Journal(config.max_entries)
        store = analyzer.cache.store
        self._shared = None if store is None else SharedJournal(store, config.max_entries)
        analyzer.observe(self._add)

    def _add(self, data: Mapping[str, Any], report: Report) -> None:
        entry = entry_of(data, report, _now())
        if entry is not None:
            self._journal.add(entry)
            if self._shared is not None:
                self._shared.add(entry)

    async def answer(self, query: Mapping[str, str]) -> Response:
        """Return the response to an admin.

        Args:
            query: the parameters of the query string.
        """
        from starlette.responses import HTMLResponse, JSONResponse

        filters, number, now = Filters.from_query(query), _page_number(query.get("page")), _now()
        shared = None if self._shared is None else await self._shared.read()
        source = _THIS_WORKER if self._shared is None else _WITHOUT_REDIS if shared is None else _ALL_WORKERS

        def make() -> Response:
            entries = merged(self._journal, shared or (), most=self._most)
            if query.get("format") == "json":
                return JSONResponse(self._as_json(entries, filters, number, now, source))
            return HTMLResponse(render(entries, filters, number, now, source, has_texts=self._shows_texts))

        return await computed(make, in_thread=self._most > _FEW_ENTRIES)

    def _as_json(self, entries: list[Entry], filters: Filters, page: int, now: datetime, source: str) -> dict[str, Any]:
        shown = filters.select(entries, now)
        page, pages, on_page = paged(shown, page)
        rows = [{**entry.as_json(), "images": entry.images} for entry in on_page]
        if self._shows_texts:
            for row, entry in zip(rows, on_page, strict=True):
                row["texts"] = list(entry.texts)
        return {
            "source": source,
            "filters": query_of(filters),
            "total": len(shown),
            "page": page,
            "pages": pages,
            "entries": rows,
        }


def install(config: PageConfig, analyzer: Analyzer) -> None:
    """Serve the page on the proxy of this process if it is switched on. A page of earlier settings is removed.

    Args:
        config: the settings of the page.
        analyzer: reports each request.
    """
    app: Any = proxy_global("app")
    if app is None:
        return
    routes: list[Any] = app.router.routes
    routes[:] = [route for route in routes if getattr(route, "path", None) != PATH]
    if config.enabled:
        routes.insert(0, _route(Page(config, analyzer)))  # before routes that match any path


def _route(page: Page) -> Any:
    from fastapi import Depends
    from fastapi.routing import APIRoute
    from litellm.proxy._types import LitellmUserRoles, UserAPIKeyAuth
    from litellm.proxy.auth.user_api_key_auth import user_api_key_auth
    from starlette.requests import Request

    admins = (LitellmUserRoles.PROXY_ADMIN, LitellmUserRoles.PROXY_ADMIN_VIEW_ONLY)

    class AdminRoute(APIRoute):
        """Translates the login of a browser for LiteLLM, and LiteLLM's refusals for a browser."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handle_for_admin(request: Request) -> Response:
                if _is_of_another_site(request.headers):
                    return _refusal(403)
                try:
                    response = await handle(Request(with_bearer(request.scope), request.receive))
                except Exception as error:
                    status = status_of(error)
                    if status is None:
                        raise
                    return _refusal(status)
                response.headers.update(HEADERS)
                return response

            return handle_for_admin

    async def show(request: Request, caller: UserAPIKeyAuth = Depends(user_api_key_auth)) -> Response:  # noqa: B008
        if caller.user_role not in admins:
            return _refusal(403)
        return await page.answer(request.query_params)

    show.__annotations__ = {"request": Request, "caller": UserAPIKeyAuth}  # FastAPI cannot see names of a function
    return AdminRoute(PATH, show, methods=["GET"], include_in_schema=False, response_model=None)


def with_bearer(scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scope of a request with the password of its Basic login as Bearer token, as LiteLLM expects a key.

    Args:
        scope: the ASGI scope.
    """
    headers = [(name, _as_bearer(value) if name == b"authorization" else value) for name, value in scope["headers"]]
    return {**scope, "headers": headers}


def _as_bearer(value: bytes) -> bytes:
    scheme, _, login = value.partition(b" ")
    if scheme.lower() != b"basic":
        return value
    try:
        _, _, key = base64.b64decode(login.strip(), validate=True).partition(b":")
    except binascii.Error:
        key = b""
    return b"Bearer " + key


def status_of(error: Exception) -> int | None:
    """Return the status of the response to an error of LiteLLM's auth. ``None`` if it is another error.

    Args:
        error: a ``ProxyException``, or an ``HTTPException``.
    """
    if is_admin_only(error):
        return 403
    status = str(getattr(error, "status_code", None) or getattr(error, "code", None) or "")
    if not (status.isdecimal() and 400 <= int(status) < 500):
        return None
    return 401 if int(status) in _ASK_AGAIN else int(status)


def _is_of_another_site(headers: Mapping[str, str]) -> bool:
    """Whether a script of another site asks. LiteLLM's CORS settings may let it read responses."""
    return headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and (
        headers.get("sec-fetch-mode") != "navigate"
    )


def _refusal(status: int) -> Response:
    from starlette.responses import PlainTextResponse

    texts = {
        401: "Log in with any user name and an admin's key as password, or send the key as Bearer token.\n",
        403: "This page is for admins of the proxy.\n",
    }
    login = LOGIN if status == 401 else {}
    return PlainTextResponse(texts.get(status, "LiteLLM refuses the request.\n"), status, {**HEADERS, **login})


def _page_number(text: str | None) -> int:
    is_number = text is not None and text.isascii() and text.isdigit() and len(text) < 6
    return min(max(int(text), 1), _MOST_PAGES) if is_number and text is not None else 1


def _now() -> datetime:
    return datetime.now(timezone.utc)
