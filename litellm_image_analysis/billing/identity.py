"""The identity that a vision call inherits from its request, as LiteLLM's own sub-calls do. It decides who pays."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.billing.metadata import METADATA_KEY, tell
from litellm_image_analysis.billing.request_state import STATE_KEY, metadata_of
from litellm_image_analysis.compat import INTERNAL_CALL_ORIGIN, ROUTING_TAGS
from litellm_image_analysis.config import SETTINGS_PATH
from litellm_image_analysis.errors import ConfigError

if TYPE_CHECKING:
    from litellm_image_analysis.config import ImageAnalysisConfig

TAG = "image-analysis"
"""Request tag of every vision call's spend-log row."""
_PARENTS_OWN = frozenset(
    {
        # The parent settles its own budget reservation. A copy would be settled a second time.
        "user_api_key_budget_reservation",
        # The cost of guardrails is billed with the parent. A copy would be billed a second time.
        "standard_logging_guardrail_information",
        "applied_guardrails",
        "routing_decision",
        "queue_time_seconds",
        METADATA_KEY,
        STATE_KEY,
        # They describe the parent's deployment.
        "model_group",
        "model_group_alias",
        "model_info",
        "deployment",
        "deployment_model_name",
        "api_base",
        "previous_models",
    }
)


def check_supported(config: ImageAnalysisConfig) -> None:
    """Check that the installed LiteLLM supports these settings.

    Raises:
        ConfigError: it does not. The message names the setting and says what to do.
    """
    if config.billing == "per_request":
        raise ConfigError(
            f"{SETTINGS_PATH}.billing: per_request would lose money: LiteLLM writes no row for a stream of"
            " /v1/messages or generateContent whose client disconnects, and counts the cost of a request that fails"
            " against no budget. Use billing: per_call: the rows of a request have the same session_id."
        )
    if not config.count_vision_tokens and INTERNAL_CALL_ORIGIN is None:
        raise ConfigError(
            f"{SETTINGS_PATH}.count_vision_tokens: false needs a newer LiteLLM: this one counts every call's tokens"
        )


def child_identity(data: MutableMapping[str, Any], *, count_tokens: bool = True) -> dict[str, Any]:
    """Keyword arguments that bill a vision call to the caller of ``data`` and group it with the parent's row.

    Args:
        data: the parent request.
        count_tokens: whether the call's tokens count against the caller's limits.
    """
    metadata = {key: value for key, value in metadata_of(data).items() if key not in _PARENTS_OWN}
    if "user_api_key_auth" in metadata:
        metadata["user_api_key_auth"] = _without_reservation(metadata["user_api_key_auth"])
    tell(metadata, {"parent_call_id": data.get("litellm_call_id")})
    _tag(metadata)
    if not count_tokens and INTERNAL_CALL_ORIGIN is not None:
        metadata[INTERNAL_CALL_ORIGIN] = METADATA_KEY
    identity: dict[str, Any] = {"metadata": metadata}
    request = data.get("proxy_server_request")
    if isinstance(request, Mapping):  # LiteLLM makes tags from its headers. Its body is the parent's
        identity["proxy_server_request"] = {key: request.get(key) for key in ("url", "method", "headers")}
    trace_id = data.get("litellm_trace_id") or getattr(data.get("litellm_logging_obj"), "litellm_trace_id", None)
    if trace_id is not None:
        data["litellm_trace_id"] = identity["litellm_trace_id"] = trace_id
    if data.get("litellm_session_id") is not None:
        identity["litellm_session_id"] = data["litellm_session_id"]
    return identity


def _tag(metadata: dict[str, Any]) -> None:
    """Add the plugin's tag to the parent's tags, but not to the tags that choose a deployment."""
    tags = metadata.get(ROUTING_TAGS, metadata.get("tags"))  # the Router adds a deployment's tags to the latter
    tags = list(tags) if isinstance(tags, (list, tuple)) else []
    metadata.setdefault(ROUTING_TAGS, tags)
    metadata["tags"] = [*(tag for tag in tags if tag != TAG), TAG]


def _without_reservation(auth: Any) -> Any:
    """The caller's auth object without the parent's budget reservation, which LiteLLM also reads from there."""
    if isinstance(auth, dict):
        return {key: value for key, value in auth.items() if key != "budget_reservation"}
    if getattr(auth, "budget_reservation", None) is None:
        return auth
    return auth.model_copy(update={"budget_reservation": None})
