"""New databases with LiteLLM's tables, for tests that change what other tests would see."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql


@contextmanager
def new_database() -> Iterator[str]:
    """Create a database beside the one at ``DATABASE_URL``, and drop it when the block ends. Yields its URL."""
    server, name = os.environ["DATABASE_URL"], f"image_analysis_{secrets.token_hex(6)}"
    url = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    _run(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        _migrate(url)
        yield url
    finally:
        _run(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _run(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def _migrate(url: str) -> None:
    import litellm_proxy_extras

    migrations = Path(str(litellm_proxy_extras.__file__)).parent.glob("migrations/*/migration.sql")
    with psycopg.connect(url, autocommit=True) as connection:
        for migration in sorted(migrations):
            connection.execute(migration.read_bytes())
