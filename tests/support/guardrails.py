"""Guardrails for a proxy's config. A test writes their modules beside the config."""

from __future__ import annotations

GUARD = """
from fastapi import HTTPException
from litellm.integrations.custom_guardrail import CustomGuardrail

class Guard(CustomGuardrail):
    async def async_pre_call_hook(self, user_api_key_dict, cache, data, call_type):
        if "FORBIDDEN" in str(data["messages"]):
            raise HTTPException(400, "the guardrail says no")

class Masker(CustomGuardrail):
    async def async_pre_call_hook(self, user_api_key_dict, cache, data, call_type):
        for message in data["messages"]:
            if isinstance(message["content"], str):
                message["content"] = message["content"].replace("SECRET", "[masked]")
        return data
"""
