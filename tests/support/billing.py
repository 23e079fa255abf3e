"""Callers for tests of spend: their keys, their requests on each route, and the sums that LiteLLM keeps for them."""

from __future__ import annotations

import atexit
import os
import secrets
import socket
from collections.abc import Callable
from functools import cache
from typing import Any

import httpx
import psycopg
from support.images import data_uri, image, message, text
from support.upstream import Body

SUMS = {
    "rows": 'SELECT sum(spend) FROM "LiteLLM_SpendLogs" WHERE api_key = %(key)s',
    "key": 'SELECT spend FROM "LiteLLM_VerificationToken" WHERE token = %(key)s',
    "team": 'SELECT spend FROM "LiteLLM_TeamTable" WHERE team_id = %(team)s',
    "team member": 'SELECT spend FROM "LiteLLM_TeamMembership" WHERE team_id = %(team)s AND user_id = %(user)s',
    "user": 'SELECT spend FROM "LiteLLM_UserTable" WHERE user_id = %(user)s',
    "organization": 'SELECT spend FROM "LiteLLM_OrganizationTable" WHERE organization_id = %(organization)s',
    "end user": 'SELECT spend FROM "LiteLLM_EndUserTable" WHERE user_id = %(end_user)s',
    "tag": 'SELECT spend FROM "LiteLLM_TagTable" WHERE tag_name = %(tag)s',
    "key by day": 'SELECT sum(spend) FROM "LiteLLM_DailyUserSpend" WHERE api_key = %(key)s',
    "user by day": 'SELECT sum(spend) FROM "LiteLLM_DailyUserSpend" WHERE user_id = %(user)s',
    "team by day": 'SELECT sum(spend) FROM "LiteLLM_DailyTeamSpend" WHERE team_id = %(team)s',
    "organization by day": (
        'SELECT sum(spend) FROM "LiteLLM_DailyOrganizationSpend" WHERE organization_id = %(organization)s'
    ),
    "end user by day": 'SELECT sum(spend) FROM "LiteLLM_DailyEndUserSpend" WHERE end_user_id = %(end_user)s',
    "tag by day": 'SELECT sum(spend) FROM "LiteLLM_DailyTagSpend" WHERE tag = %(tag)s',
    "client by day": 'SELECT sum(spend) FROM "LiteLLM_DailyTagSpend" WHERE tag = %(client)s',
}
"""Each place where LiteLLM stores the spend of a caller."""
_ALL_SUMS = f"SELECT {', '.join(f'({query})' for query in SUMS.values())}"

UNTOLD = {("responses", True), ("generateContent", True)}
"""Routes, and whether they stream, on which LiteLLM does not know the cost of an unfinished answer."""

Request = tuple[str, dict[str, Any]]


MAKE_ORGANIZATION = """
WITH budget AS (
  INSERT INTO "LiteLLM_BudgetTable" (budget_id, created_by, updated_by)
  VALUES (%(id)s, 'tests', 'tests') RETURNING budget_id
)
INSERT INTO "LiteLLM_OrganizationTable" (organization_id, organization_alias, budget_id, models, created_by, updated_by)
SELECT %(id)s, %(id)s, budget_id, %(models)s, 'tests', 'tests' FROM budget
"""


def database(url: str | None = None) -> psycopg.Connection[tuple[Any, ...]]:
    """A connection to the proxy's database, for all tests of this process. Without a URL it is ``DATABASE_URL``."""
    return _connection(url or os.environ["DATABASE_URL"])


@cache
def _connection(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    connection = psycopg.connect(url, autocommit=True)
    atexit.register(connection.close)
    return connection


def new_organization(*models: str, url: str | None = None) -> str:
    """The id of a new organization that may call these models, or any. LiteLLM's own route for this needs a licence."""
    name = f"organization-{secrets.token_hex(6)}"
    database(url).execute(MAKE_ORGANIZATION, {"id": name, "models": list(models)})
    return name


def of_vision(body: Body) -> bool:
    """Whether a request at the provider is a vision call. ``seeing-chat`` is a main model."""
    return body["model"] in ("seeing-mini", "seeing-other", "seeing-fragile", "seeing-retried")


def of_main(body: Body) -> bool:
    """Whether a request at the provider is a main call."""
    return not of_vision(body)


def first_word(connection: socket.socket) -> None:
    """Wait until the answer begins to arrive."""
    answer = b""
    while b"It" not in answer.partition(b"\r\n\r\n")[2]:
        piece = connection.recv(65536)
        assert piece, answer
        answer += piece


def send_and_leave(request: httpx.Request, until: Callable[[socket.socket], object]) -> None:
    """Send a POST, wait for ``until``, and disconnect without reading the answer."""
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with socket.create_connection((request.url.host, request.url.port or 80), timeout=30) as connection:
        target = request.url.raw_path.decode()
        connection.sendall(f"POST {target} HTTP/1.1\r\n{head}\r\n".encode() + request.content)
        until(connection)


class Caller:
    """A new key with a new user, team, organisation, end user and tag.

    Args:
        admin: a client of the proxy with its master key.
        url: the proxy's database, if it is not ``DATABASE_URL``.
    """

    def __init__(self, admin: httpx.Client, url: str | None = None) -> None:
        self._admin, self._database = admin, url
        unique = secrets.token_hex(6)
        self.end_user, self.tag, self.client = f"end-user-{unique}", f"tag-{unique}", f"User-Agent: client-{unique}"
        self.organization = new_organization(url=url)
        self.user = self._made("/user/new", {"auto_create_key": False})["user_id"]
        members = [{"role": "user", "user_id": self.user}]
        team = {"organization_id": self.organization, "members_with_roles": members}
        self.team = self._made("/team/new", team)["team_id"]
        self._made("/tag/new", {"name": self.tag})
        key = self._made("/key/generate", {"team_id": self.team, "user_id": self.user})
        self._secret, self.key = key["key"], key["token"]

    def _made(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = self._admin.post(path, json=body)
        assert response.status_code == 200, response.text
        return dict(response.json())

    @property
    def headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self._secret}",
            "x-litellm-tags": self.tag,
            "x-litellm-end-user-id": self.end_user,
            "User-Agent": self.client.removeprefix("User-Agent: "),
        }

    def send(self, request: Request) -> httpx.Response:
        path, body = request
        return self._admin.post(path, json=body, headers=self.headers)

    def post(self, request: Request) -> int:
        return self.send(request).status_code

    def post_and_leave(self, request: Request, until: Callable[[socket.socket], object]) -> None:
        """Send the request, wait for ``until``, and disconnect without reading the answer."""
        path, body = request
        send_and_leave(self._admin.build_request("POST", path, json=body, headers=self.headers), until)

    def sums(self) -> dict[str, float]:
        """The spend in USD, by the place where LiteLLM stores it."""
        identity = {name: value for name, value in vars(self).items() if isinstance(value, str)}
        row = database(self._database).execute(_ALL_SUMS, identity).fetchone() or ()
        return {name: float(usd or 0) for name, usd in zip(SUMS, row, strict=True)}


def chat(model: str, words: str, marks: list[str], *, stream: bool) -> Request:
    body = {"model": model, "messages": [message(text(words), *map(image, marks))], "stream": stream}
    return "/v1/chat/completions", body


def messages(model: str, words: str, marks: list[str], *, stream: bool) -> Request:
    sources = [{"type": "base64", "media_type": "image/png", "data": _base64(mark)} for mark in marks]
    images = [{"type": "image", "source": source} for source in sources]
    said = [message(text(words), *images)]
    return "/v1/messages", {"model": model, "messages": said, "max_tokens": 9, "stream": stream}


def responses(model: str, words: str, marks: list[str], *, stream: bool) -> Request:
    images = [{"type": "input_image", "image_url": data_uri(mark)} for mark in marks]
    item = {"role": "user", "content": [{"type": "input_text", "text": words}, *images]}
    return "/v1/responses", {"model": model, "input": [item], "stream": stream}


def generate_content(model: str, words: str, marks: list[str], *, stream: bool) -> Request:
    images = [{"inlineData": {"mimeType": "image/png", "data": _base64(mark)}} for mark in marks]
    action = "streamGenerateContent" if stream else "generateContent"
    return f"/v1beta/models/{model}:{action}", {"contents": [{"role": "user", "parts": [{"text": words}, *images]}]}


def _base64(mark: str) -> str:
    return data_uri(mark).split(",")[1]


ROUTES = {"chat": chat, "messages": messages, "responses": responses, "generateContent": generate_content}
