"""A LiteLLM callback that writes the requests to each model to a file. They show what a text-only model reads."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from litellm.integrations.custom_logger import CustomLogger
from litellm.types.utils import CallTypes


class Recorder(CustomLogger):
    """Appends each call's model and messages to the file named by ``RECORDER_FILE``, one JSON object a line."""

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: CallTypes | None) -> None:
        """LiteLLM calls this when a deployment is chosen, right before the request goes out."""
        call = {"model": kwargs["model"], "messages": kwargs["messages"]}
        with Path(os.environ["RECORDER_FILE"]).open("a") as file:  # noqa: ASYNC230 - a demo's few lines
            file.write(json.dumps(call) + "\n")


recorder = Recorder()
