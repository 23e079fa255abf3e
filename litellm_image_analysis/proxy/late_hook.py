"""A pre-call hook that runs after all others, so that a request that LiteLLM's limits refuse costs no vision call.

LiteLLM calls pre-call hooks in the order of ``litellm.callbacks``: the config's callbacks first, then guardrails, then
its own limits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, final

import litellm
from litellm.integrations.custom_logger import CustomLogger

from litellm_image_analysis.compat import guardrails_only

if TYPE_CHECKING:
    from litellm.proxy._types import UserAPIKeyAuth


@final  # LiteLLM looks for hooks on an instance's own class, and would skip those that a subclass inherits
class LateHook(CustomLogger):
    """Callback that runs a function after all other pre-call hooks.

    Args:
        run: the function. It gets the caller, the request and LiteLLM's call type.
    """

    def __init__(self, run: Callable[[UserAPIKeyAuth, dict[str, Any], str], Awaitable[None]]) -> None:
        super().__init__()
        self._run = run

    @property
    def is_in_place(self) -> bool:
        """Whether this hook is in ``litellm.callbacks``, so that LiteLLM calls it."""
        return any(callback is self for callback in litellm.callbacks)

    def keep_in_place(self) -> None:
        """Move this hook to the end of LiteLLM's callbacks, because others are added at run time.

        Do nothing if this LiteLLM cannot run guardrails alone.
        """
        if not can_rerun_guardrails() or (litellm.callbacks and litellm.callbacks[-1] is self):
            return
        litellm.callbacks[:] = [*(callback for callback in litellm.callbacks if callback is not self), self]

    async def async_pre_call_hook(
        self, user_api_key_dict: UserAPIKeyAuth, cache: Any, data: dict[str, Any], call_type: str
    ) -> dict[str, Any] | None:
        """Proxy: run the function."""
        del cache  # the proxy's auth cache
        await self._run(user_api_key_dict, data, call_type)
        return data


def can_rerun_guardrails() -> bool:
    """Return whether this LiteLLM can run guardrails alone, so that they see the texts in the images' places."""
    return guardrails_only() is not None


def rerun_guardrails(
    data: dict[str, Any], caller: UserAPIKeyAuth, call_type: str
) -> Callable[[], Awaitable[None]] | None:
    """Return a function that runs the gateway's guardrails and content enforcers again, on a rewritten request.

    Args:
        data: the rewritten request. Guardrails may change it.
        caller: the virtual key of the request.
        call_type: LiteLLM's name for the call.

    Returns:
        The function. If a guardrail refuses the request, it raises the guardrail's own exception, of any type.
        ``None`` if this LiteLLM cannot run guardrails alone.
    """
    pre_call_hook = guardrails_only()
    if pre_call_hook is None:
        return None

    async def run() -> None:
        guarded = await pre_call_hook(user_api_key_dict=caller, data=data, call_type=call_type, guardrails_only=True)
        if guarded is not data:
            data.clear()
            data.update(guarded)

    return run
