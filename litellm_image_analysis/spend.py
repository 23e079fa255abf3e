"""Whose call it is, what it cost, and where that is reported. Identity follows LiteLLM's own sub-calls."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from litellm import constants

from litellm_image_analysis.config import SETTINGS_PATH
from litellm_image_analysis.errors import ConfigError

if TYPE_CHECKING:
    from litellm_image_analysis.analysis.report import Report
    from litellm_image_analysis.config import ImageAnalysisConfig

METADATA_KEY = "image_analysis"
TAG = "image-analysis"
"""Request tag of every vision call's spend-log row."""

_REPORT_KEY = "_image_analysis_report"
BILL_KEY = "_image_analysis_bill"
STANDBY_KEY = "_image_analysis_standby"
OUTCOMES_KEY = "_image_analysis_outcomes"
BUCKETS = ("litellm_metadata", "metadata")
_HEADER = "x-litellm-image-analysis"
_HEADER_SAFE = "/:@.,+*- "
_PLACES = 15
_ROUTING_TAGS: str = getattr(constants, "ROUTING_REQUEST_TAGS_METADATA_KEY", "_routing_request_tags")
_CALCULATOR_BEFORE = "_response_cost_calculator"
"""What its cost calculator was called in LiteLLM 1.84."""

_TOLD = (METADATA_KEY, "spend_logs_metadata")
_NOTED = (_REPORT_KEY, BILL_KEY, *_TOLD)
_DEPLOYMENT = ("model_group", "model_info", "deployment")

_PARENTS_OWN = frozenset(
    {
        # Settling the parent's budget reservation is the parent's business: forwarded, it settles twice.
        "user_api_key_budget_reservation",
        # What guardrails cost is billed with the parent; forwarded, it is billed again.
        "standard_logging_guardrail_information",
        "applied_guardrails",
        "routing_decision",
        "queue_time_seconds",
        METADATA_KEY,
        _REPORT_KEY,
        BILL_KEY,
        STANDBY_KEY,
        OUTCOMES_KEY,
        # Which of the parent's deployments was about to be called.
        "model_group",
        "model_group_alias",
        "model_info",
        "deployment",
        "deployment_model_name",
        "api_base",
        "previous_models",
    }
)


def usd(value: object) -> Decimal | None:
    """LiteLLM's price (a float, or nothing) as a decimal; ``None`` if it is unknown."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        price = Decimal(repr(float(value)))
    except OverflowError:
        return None
    return price if price.is_finite() else None


def metadata_of(data: MutableMapping[str, Any]) -> dict[str, Any]:
    """The request's metadata bucket, which LiteLLM keeps under one of two names by route; made if missing."""
    buckets = {name: data[name] for name in BUCKETS if isinstance(data.get(name), dict)}
    # The Router keeps notes of its own in a bucket that is not always the request's.
    own = [name for name, bucket in buckets.items() if STANDBY_KEY in bucket]
    name = (own or list(buckets) or ["metadata"])[0]
    bucket = data.get(name)
    if not isinstance(bucket, dict):
        bucket = data[name] = {}
    return bucket


def child_identity(data: MutableMapping[str, Any], *, count_tokens: bool = True) -> dict[str, Any]:
    """Keyword arguments that bill a vision call to the caller of ``data`` and group it with the parent's row.

    Args:
        data: the parent request.
        count_tokens: whether the call's tokens count against the caller's limits.
    """
    metadata = {key: value for key, value in metadata_of(data).items() if key not in _PARENTS_OWN}
    if "user_api_key_auth" in metadata:
        metadata["user_api_key_auth"] = _without_reservation(metadata["user_api_key_auth"])
    _tell(metadata, {"parent_call_id": data.get("litellm_call_id")})
    _tag(metadata)
    if not count_tokens:
        metadata[constants.INTERNAL_CALL_ORIGIN_METADATA_KEY] = METADATA_KEY
    identity: dict[str, Any] = {"metadata": metadata}
    request = data.get("proxy_server_request")
    if isinstance(request, Mapping):  # its headers make tags, too; its body is the parent's
        identity["proxy_server_request"] = {key: request.get(key) for key in ("url", "method", "headers")}
    trace_id = data.get("litellm_trace_id") or getattr(data.get("litellm_logging_obj"), "litellm_trace_id", None)
    if trace_id is not None:
        data["litellm_trace_id"] = identity["litellm_trace_id"] = trace_id
    if data.get("litellm_session_id") is not None:
        identity["litellm_session_id"] = data["litellm_session_id"]
    return identity


def _tell(metadata: dict[str, Any], told: dict[str, Any]) -> None:
    """Tell loggers and the spend log of image analysis.

    LiteLLM keeps only keys it knows in a spend-log row's metadata; its place for others is ``spend_logs_metadata``.
    """
    spend_logs = metadata.get("spend_logs_metadata")
    metadata["spend_logs_metadata"] = {**(spend_logs if isinstance(spend_logs, dict) else {}), METADATA_KEY: told}
    metadata[METADATA_KEY] = told


def _tag(metadata: dict[str, Any]) -> None:
    """Add our tag to those of the parent, but not to those that choose a deployment."""
    tags = metadata.get(_ROUTING_TAGS, metadata.get("tags"))  # the Router adds those of a deployment to the latter
    tags = list(tags) if isinstance(tags, (list, tuple)) else []
    metadata.setdefault(_ROUTING_TAGS, tags)
    metadata["tags"] = [*(tag for tag in tags if tag != TAG), TAG]


def _without_reservation(auth: Any) -> Any:
    """The caller's auth object without the parent's budget reservation; LiteLLM also looks for it in there."""
    if isinstance(auth, dict):
        return {key: value for key, value in auth.items() if key != "budget_reservation"}
    if getattr(auth, "budget_reservation", None) is None:
        return auth
    return auth.model_copy(update={"budget_reservation": None})


def record(data: MutableMapping[str, Any], report: Report) -> None:
    """Note the report in the request's metadata: for this package's later hooks, loggers, and the spend log."""
    metadata = metadata_of(data)
    metadata[_REPORT_KEY] = report
    if report.images or report.failed:
        _tell(metadata, summary(report))


def share(data: MutableMapping[str, Any], home: MutableMapping[str, Any]) -> None:
    """Note in a request's metadata what was noted in those of one of its attempts, which may be a copy."""
    bucket = metadata_of(data)
    home.update({key: bucket[key] for key in _NOTED if key in bucket})


def recorded(data: Mapping[str, Any]) -> object:
    """The report ``record`` noted, or ``None``. Callers cannot forge one: JSON does not make such objects."""
    return noted(data, _REPORT_KEY)


def noted(data: Mapping[str, Any], key: str) -> object:
    """What stands under a key of one of the request's metadata buckets, or ``None``."""
    for name in BUCKETS:
        bucket = data.get(name)
        if isinstance(bucket, dict) and key in bucket:
            return bucket[key]
    return None


def check_supported(config: ImageAnalysisConfig) -> None:
    """Stop a start with settings this LiteLLM cannot follow.

    Raises:
        ConfigError: says which, and what to do.
    """
    if config.billing == "per_request":
        raise ConfigError(
            f"{SETTINGS_PATH}.billing: per_request would lose money: LiteLLM writes no row for a stream of"
            " /v1/messages or generateContent whose client hangs up, and counts the cost of a request that fails"
            " against no budget. Use billing: per_call; a session's rows belong together."
        )
    if not config.count_vision_tokens and not hasattr(constants, "INTERNAL_CALL_ORIGIN_METADATA_KEY"):
        raise ConfigError(
            f"{SETTINGS_PATH}.count_vision_tokens: false needs a newer LiteLLM: this one counts every call's tokens"
        )


def filled_buckets(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Have LiteLLM's bridge from generateContent to chat, and its spend log, know what stands in one bucket only.

    The router notes which deployment it calls, and so at what price, in ``litellm_metadata``, and this package what it
    did in ``metadata``. LiteLLM's bridge looks up prices in ``metadata``; its spend log, from 1.107 on, reads
    ``litellm_metadata``.
    """
    metadata, router_s = kwargs.get("metadata"), kwargs.get("litellm_metadata")
    if not isinstance(metadata, dict) or not isinstance(router_s, Mapping):
        return kwargs
    deployment = {key: router_s[key] for key in _DEPLOYMENT if key in router_s}
    told = {key: metadata[key] for key in _TOLD if key in metadata}
    return {**kwargs, "metadata": {**deployment, **metadata}, "litellm_metadata": {**router_s, **told}}


def headers(report: Report, base_cost: Decimal | None) -> dict[str, str]:
    """Response headers for a report.

    Args:
        report: what was done.
        base_cost: USD of the request's own call; ``None`` if unknown or not known yet, as in a stream.
    """
    if not report.images and not report.failed:
        return {f"{_HEADER}-images": "0"}
    found = {
        f"{_HEADER}-model": quote(report.vision_model, safe=_HEADER_SAFE, errors="replace"),
        f"{_HEADER}-images": str(report.images),
        f"{_HEADER}-cached": str(report.cached),
        f"{_HEADER}-failed": str(report.failed),
        f"{_HEADER}-duration-ms": str(report.duration_ms),
    }
    if report.cost is not None:
        found[f"{_HEADER}-cost"] = plain(report.cost)
        if base_cost is not None:
            found["x-litellm-response-cost-total"] = plain(base_cost + report.cost)
    return found


def reported_cost(response: Any) -> Decimal | None:
    """USD billed for a call, as LiteLLM reports it in the response; ``None`` for an unknown price.

    LiteLLM shows a hit in its response cache at its old price, but bills nothing.
    """
    shown = hidden(response)
    return Decimal(0) if shown.get("cache_hit") is True else usd(shown.get("response_cost"))


def hidden(response: Any) -> Mapping[str, Any]:
    """The hidden parameters of a response, where LiteLLM has its prices."""
    found = getattr(response, "_hidden_params", None)
    return found if isinstance(found, Mapping) else {}


def came_from_cache(data: Mapping[str, Any]) -> bool:
    """Whether LiteLLM's response cache answered the call, which is shown to no hook then."""
    details = getattr(data.get("litellm_logging_obj"), "caching_details", None)
    return isinstance(details, Mapping) and details.get("cache_hit") is True


def calculated_cost(kwargs: Mapping[str, Any], response: Any) -> Decimal | None:
    """USD of a call that has just been answered, as LiteLLM will report it; ``None`` for an unknown price.

    Args:
        kwargs: the call's, as they went to the deployment.
        response: its answer, whole.
    """
    logging: Any = kwargs.get("litellm_logging_obj")
    if came_from_cache(kwargs):
        return Decimal(0)
    calculate = getattr(logging, "response_cost_calculator", None) or getattr(logging, _CALCULATOR_BEFORE, None)
    if calculate is None:
        return None
    deployment = (kwargs.get("model_info") or {}).get("id")
    return usd(calculate(result=response, litellm_model_name=kwargs.get("model"), router_model_id=deployment))


def plain(amount: Decimal) -> str:
    """USD without an exponent or a float's noise: ``0.00021``, never ``2.1E-4`` or ``0.00020999999999999998``."""
    return f"{amount:.{_PLACES}f}".rstrip("0").rstrip(".")


def summary(report: Report) -> dict[str, Any]:
    """The report as JSON for spend logs and loggers."""
    return {
        "model": report.vision_model,
        "images": report.images,
        "cached": report.cached,
        "failed": report.failed,
        "cost": None if report.cost is None else float(report.cost),
        "duration_ms": report.duration_ms,
        "call_ids": list(report.call_ids),
    }
