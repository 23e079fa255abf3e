"""LiteLLM's own FastAPI app in this process, started from a config file as its command line does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from support.proxy import write_shim

MASTER_KEY = "sk-integration-7d1f0c"


@asynccontextmanager
async def running_app(config: dict[str, Any], folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Run the app until the block ends. Yields a client of it."""
    import litellm
    from litellm.proxy import proxy_server

    import litellm_image_analysis
    from litellm_image_analysis import instance

    vars(litellm_image_analysis).pop("image_analysis", None)  # as in a process that has just started
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    write_shim(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(litellm, "callbacks", [])
        patch.setattr(litellm, "callback_settings", {})
        patch.setenv("LITELLM_MASTER_KEY", MASTER_KEY)
        patch.delenv("DATABASE_URL", raising=False)
        patch.setenv("WORKER_CONFIG", json.dumps({"config": str(path)}))
        async with proxy_server.app.router.lifespan_context(proxy_server.app):
            transport = httpx.ASGITransport(app=proxy_server.app)
            headers = {"Authorization": f"Bearer {MASTER_KEY}"}
            async with httpx.AsyncClient(transport=transport, base_url="http://proxy", headers=headers) as client:
                try:
                    yield client
                finally:
                    for task in instance._in_background:  # an app that is started later creates its own
                        task.cancel()
