"""What is read from a running proxy: its router, what it serves, and who may call it."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

import anyio
import litellm
from litellm.exceptions import BadRequestError

from litellm_image_analysis.activation import PARAMETER
from litellm_image_analysis.config import SETTINGS_PATH
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.journal import LOGGER

if TYPE_CHECKING:
    from litellm.proxy._types import ProxyException, UserAPIKeyAuth
    from litellm.router import Router

    from litellm_image_analysis.dialects import FoundImage

_GOOGLE_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_NAMED_MODELS = 10
_POLL_SECONDS = 0.2
_STARTUP_SECONDS = 30.0


def running_router() -> Router | None:
    """The router of the proxy in this process; ``None`` before it is up and where there is none."""
    return cast("Router | None", getattr(_proxy_server(), "llm_router", None))


def bears_name(router: Router | None, name: str) -> bool:
    """Whether a model really is called this: in the router's list or in LiteLLM's cost map."""
    if name in litellm.model_cost:
        return True
    if router is None:
        return False
    return _lists(router, name) or name in getattr(router, "team_public_model_names", ())  # newer than LiteLLM 1.84


def serves(router: Router, name: str, team_id: str | None) -> bool:
    """Whether the router can route a request for this model: by name, for a team, or by wildcard."""
    if _lists(router, name) or (team_id is not None and router.map_team_model(name, team_id) is not None):
        return True
    if router.router_general_settings.pass_through_all_models or cast("object", router.default_deployment):
        return True
    return bool(router.pattern_router.patterns and router.pattern_router.route(name))


def _lists(router: Router, name: str) -> bool:
    model_names = cast("set[str]", router.model_names)  # LiteLLM declares it as always empty
    if name in model_names or name in router.model_group_alias or router.has_model_id(name):
        return True
    routing_group = getattr(router, "get_routing_group", None)  # newer than LiteLLM 1.84
    return routing_group is not None and routing_group(name) is not None


class AccessDeniedError(RequestError):
    """LiteLLM's own refusal of a model, on its way out.

    Attributes:
        denied: what LiteLLM raised.
    """

    def __init__(self, denied: ProxyException) -> None:
        super().__init__(denied.message, status_code=_status(denied), param=denied.param, code=denied.type)
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


def vision_groups(router: Router, team_id: str | None) -> list[str]:
    """Model groups known to take images, sorted; wildcards are no names to call."""
    names = {name for name in router.get_model_names(team_id=team_id) if "*" not in name}
    return sorted(
        name for name in names if _takes_images(router.get_model_list(model_name=name, team_id=team_id) or [])
    )


def holders(found: Iterable[FoundImage], router: Router | None, name: str) -> set[str]:
    """The providers behind a vision model, if an image is a file that one of them may keep; else nobody asks."""
    if not any(image.source is not None and image.source.kind == "held" for image in found):
        return set()
    if router is None:
        return {_provider(name)}
    deployments = router.get_model_list(model_name=name) or []
    return {_provider(str(deployment["litellm_params"].get("model") or "")) for deployment in deployments}


def _provider(model: str) -> str:
    try:
        return str(litellm.get_llm_provider(model)[1])
    except BadRequestError:
        return ""


def _takes_images(deployments: Iterable[Any]) -> bool:
    for deployment in deployments:
        declared = (deployment.get("model_info") or {}).get("supports_vision")
        model = (deployment.get("litellm_params") or {}).get("model") or ""
        if declared is True or (declared is None and litellm.supports_vision(model=model)):
            return True
    return False


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


async def report_unserved_default(name: str) -> None:
    """Log an ERROR if the router, once it is up, does not serve the configured vision model.

    Models that live in the database arrive a little later than the router.
    """
    await router_is_up()
    if _models_in_database():
        await _wait_for(lambda: _is_served(name))
    if not _is_served(name):
        LOGGER.error("%s", unserved_default(name, running_router()))


async def router_is_up() -> None:
    """Wait for the proxy's router, which appears after callbacks are loaded, but not for ever."""
    await _wait_for(lambda: running_router() is not None)


async def _wait_for(condition: Callable[[], bool]) -> None:
    with anyio.move_on_after(_STARTUP_SECONDS):
        while not condition():  # noqa: ASYNC110 - LiteLLM tells nobody when its router is up
            await anyio.sleep(_POLL_SECONDS)


def _is_served(name: str) -> bool:
    router = running_router()
    return router is not None and serves(router, name, None)


def announce_at_exit(message: str) -> None:
    """Write to stderr when the process ends: LiteLLM's traceback of a failed start would bury it before."""
    atexit.register(lambda: sys.stderr.write(f"\n{message}\n"))


def http_error(error: RequestError, call_type: str = "acompletion") -> ProxyException:
    """The error as LiteLLM's proxy sends it, with the right status.

    LiteLLM makes OpenAI's error object of it, on Anthropic's route Anthropic's; on Google's we do. What LiteLLM itself
    refused goes on as LiteLLM's own exception.
    """
    from litellm.proxy._types import ProxyException

    class GoogleError(ProxyException):
        def to_dict(self) -> dict[str, Any]:
            return {"code": error.status_code, "message": self.message, "status": _google_status(error.status_code)}

    on_google = call_type.startswith("agenerate_content")
    if isinstance(error, AccessDeniedError) and not on_google:
        return _with_status(error.denied)
    retry_after = error.retry_after_seconds
    return _with_status(
        (GoogleError if on_google else ProxyException)(
            error.message,
            type=error.type,
            param=error.param,
            code=error.status_code,
            openai_code=error.code,
            headers={} if retry_after is None else {"retry-after": str(retry_after)},
        )
    )


def _google_status(status_code: int) -> str:
    """Google's canonical name: https://cloud.google.com/apis/design/errors#handling_errors."""
    return _GOOGLE_STATUS.get(status_code, "INTERNAL" if status_code >= 500 else "FAILED_PRECONDITION")


def _with_status(error: ProxyException) -> ProxyException:
    """LiteLLM 1.84 looks for a status on errors raised in hooks, and does not know its own error's ``code``."""
    vars(error).setdefault("status_code", _status(error))
    return error


def _status(error: ProxyException) -> int:
    return int(error.code) if error.code.isdecimal() else 500


def _models_in_database() -> bool:
    return getattr(_proxy_server(), "store_model_in_db", False) is True


def _proxy_server() -> object:
    """LiteLLM's proxy module if this process runs a proxy; importing it from here would start half of one."""
    return sys.modules.get("litellm.proxy.proxy_server")
