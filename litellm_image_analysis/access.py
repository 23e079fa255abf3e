"""Who may call which model. LiteLLM decides; what it refuses goes on as its own words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from litellm_image_analysis.activation import PARAMETER
from litellm_image_analysis.config import SETTINGS_PATH
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.gateway import serves, vision_groups

if TYPE_CHECKING:
    from litellm.proxy._types import ProxyException, UserAPIKeyAuth
    from litellm.router import Router

_NAMED_MODELS = 10


class AccessDeniedError(RequestError):
    """LiteLLM's own refusal of a model, on its way out.

    Attributes:
        denied: what LiteLLM raised.
    """

    def __init__(self, denied: ProxyException) -> None:
        super().__init__(denied.message, status_code=status_of(denied), param=denied.param, code=denied.type)
        self.denied = denied


async def check_access(names: Iterable[str], router: Router | None, caller: UserAPIKeyAuth) -> None:
    """Hold the caller's key, team and end user to their model lists.

    Raises:
        AccessDeniedError: LiteLLM says no.
    """
    from litellm.proxy._types import ProxyException
    from litellm.proxy.auth import auth_checks

    model_list = router.get_model_list() if router is not None else None
    # LiteLLM 1.84 has the check of the key alone; later versions also one of its team, project and end user.
    check = getattr(auth_checks, "can_key_call_resolved_model", auth_checks.can_key_call_model)
    for name in names:
        try:
            await check(model=name, llm_model_list=model_list, valid_token=caller, llm_router=router)
        except ProxyException as denied:
            raise AccessDeniedError(denied) from None


async def check_chosen(name: str, router: Router | None, caller: UserAPIKeyAuth) -> None:
    """Let a caller's choice of vision model pass if it exists and the caller may call it.

    Raises:
        RequestError: no deployment serves it; names the vision models the caller may use.
        AccessDeniedError: LiteLLM says that the caller may not call it.
    """
    if router is not None and not serves(router, name, caller.team_id):
        raise await wrong_choice(f"this gateway serves no model {name!r}.", router, caller)
    await check_access([name], router, caller)


async def wrong_choice(problem: str, router: Router | None, caller: UserAPIKeyAuth) -> RequestError:
    """The answer to an ``ocr_model`` that is no good: the problem, and the vision models the caller may call."""
    groups = vision_groups(router, caller.team_id) if router is not None else []
    choices = _offered(await _allowed(groups, router, caller))
    return RequestError(f"{PARAMETER}: {problem} {choices}", param=PARAMETER, code="invalid_ocr_model")


async def check_default(name: str, router: Router | None, caller: UserAPIKeyAuth) -> None:
    """Let the configured vision model pass if a deployment serves it.

    Raises:
        RequestError: none does; says how the operator mends that.
    """
    if router is not None and not serves(router, name, caller.team_id):
        choices = await _allowed(vision_groups(router, caller.team_id), router, caller)
        raise RequestError(_unserved(name, choices), code="vision_model_not_served")


def unserved_default(name: str, router: Router | None) -> str:
    """What is wrong when the configured vision model has no deployment, and how to mend it."""
    return _unserved(name, vision_groups(router, None) if router is not None else [])


def _unserved(name: str, choices: list[str]) -> str:
    mend = f", or set vision_model to one of: {', '.join(choices[:_NAMED_MODELS])}" if choices else ""
    return (
        f"{SETTINGS_PATH}.vision_model: this gateway serves no model {name!r}."
        f" Add a deployment with model_name: {name} to model_list{mend}."
    )


async def _allowed(names: Iterable[str], router: Router | None, caller: UserAPIKeyAuth) -> list[str]:
    allowed = []
    for name in names:
        try:
            await check_access([name], router, caller)
        except AccessDeniedError:
            continue
        allowed.append(name)
    return allowed


def _offered(choices: list[str]) -> str:
    if not choices:
        return "It has no vision model that you may call."
    more = f" and {len(choices) - _NAMED_MODELS} more" if len(choices) > _NAMED_MODELS else ""
    return f"Vision models you may call: {', '.join(choices[:_NAMED_MODELS])}{more}."


def status_of(error: ProxyException) -> int:
    """The HTTP status LiteLLM's error is answered with."""
    return int(error.code) if error.code.isdecimal() else 500
