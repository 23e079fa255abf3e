"""Authentication for two tenants of a proxy, and a record of their charges. A config names both, beside itself."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import UserAPIKeyAuth


async def user_api_key_auth(request: object, api_key: str) -> UserAPIKeyAuth:
    """Authenticate a key. The team is the word after ``sk-``."""
    return UserAPIKeyAuth(api_key=api_key, team_id=api_key.split("-")[1])


class Ledger(CustomLogger):
    """Records each call with a cost: the team that LiteLLM charges, the model, and USD."""

    def __init__(self) -> None:
        super().__init__()
        self._file = Path(os.environ["LEDGER_FILE"])

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        payload = kwargs.get("standard_logging_object") or {}
        team = (payload.get("metadata") or {}).get("user_api_key_team_id")
        with self._file.open("a") as file:
            file.write(json.dumps([team, payload.get("model"), payload.get("response_cost")]) + "\n")


ledger = Ledger()
