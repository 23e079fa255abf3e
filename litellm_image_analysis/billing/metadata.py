"""The request's metadata in LiteLLM: what this plugin notes there for its later hooks, loggers and the spend log."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.billing.request_state import METADATA_BUCKETS, state_in, update_state
from litellm_image_analysis.billing.summary import summary

if TYPE_CHECKING:
    from litellm_image_analysis.analysis.report import Report

METADATA_KEY = "image_analysis"
_TOLD = (METADATA_KEY, "spend_logs_metadata")
_DEPLOYMENT = ("model_group", "model_info", "deployment")


def metadata_of(data: MutableMapping[str, Any]) -> dict[str, Any]:
    """The request's metadata bucket, which LiteLLM keeps under one of two names by route; made if missing."""
    buckets = {name: data[name] for name in METADATA_BUCKETS if isinstance(data.get(name), dict)}
    # The Router keeps notes of its own in a bucket that is not always the request's.
    own = [name for name, bucket in buckets.items() if state_in(bucket).deferred is not None]
    name = (own or list(buckets) or ["metadata"])[0]
    bucket = data.get(name)
    if not isinstance(bucket, dict):
        bucket = data[name] = {}
    return bucket


def save_report(data: MutableMapping[str, Any], report: Report) -> None:
    """Note the report in the request's metadata: for this package's later hooks, loggers, and the spend log."""
    metadata = metadata_of(data)
    update_state(metadata, report=report)
    if report.images or report.failed:
        tell(metadata, summary(report))


def share_notes(data: MutableMapping[str, Any], home: MutableMapping[str, Any]) -> None:
    """Note in a request's metadata what was noted in those of one of its attempts, which may be a copy."""
    bucket = metadata_of(data)
    home.update({key: bucket[key] for key in _TOLD if key in bucket})
    state = state_in(bucket)
    update_state(home, report=state.report, cost=state.cost)


def get_note(data: Mapping[str, Any], key: str) -> object:
    """What stands under a key of one of the request's metadata buckets, or ``None``."""
    for name in METADATA_BUCKETS:
        bucket = data.get(name)
        if isinstance(bucket, dict) and key in bucket:
            return bucket[key]
    return None


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


def tell(metadata: dict[str, Any], told: dict[str, Any]) -> None:
    """Tell loggers and the spend log of image analysis.

    LiteLLM keeps only keys it knows in a spend-log row's metadata; its place for others is ``spend_logs_metadata``.
    """
    spend_logs = metadata.get("spend_logs_metadata")
    metadata["spend_logs_metadata"] = {**(spend_logs if isinstance(spend_logs, dict) else {}), METADATA_KEY: told}
    metadata[METADATA_KEY] = told
