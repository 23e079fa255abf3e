"""The request's metadata in LiteLLM, where the plugin keeps its state and reports to loggers and the spend log."""

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
    """The request's metadata mapping, which LiteLLM keeps under one of two names, by route. Made if it is missing."""
    buckets = {name: data[name] for name in METADATA_BUCKETS if isinstance(data.get(name), dict)}
    # The Router has metadata of its own, which are not always in the request's mapping.
    own = [name for name, bucket in buckets.items() if state_in(bucket).deferred is not None]
    name = (own or list(buckets) or ["metadata"])[0]
    bucket = data.get(name)
    if not isinstance(bucket, dict):
        bucket = data[name] = {}
    return bucket


def save_report(data: MutableMapping[str, Any], report: Report) -> None:
    """Save the report in the request's metadata, for later hooks, loggers and the spend log."""
    metadata = metadata_of(data)
    update_state(metadata, report=report)
    if report.images or report.failed:
        tell(metadata, summary(report))


def share_notes(data: MutableMapping[str, Any], home: MutableMapping[str, Any]) -> None:
    """Copy the report and the cost from the metadata of an attempt to the metadata of its request."""
    bucket = metadata_of(data)
    home.update({key: bucket[key] for key in _TOLD if key in bucket})
    state = state_in(bucket)
    update_state(home, report=state.report, cost=state.cost)


def get_note(data: Mapping[str, Any], key: str) -> object:
    """The value of a key in the request's metadata mappings, or ``None``."""
    for name in METADATA_BUCKETS:
        bucket = data.get(name)
        if isinstance(bucket, dict) and key in bucket:
            return bucket[key]
    return None


def filled_buckets(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Copy to both metadata mappings what LiteLLM's bridge from generateContent to chat, and its spend log, read.

    The router writes the deployment, which has the price, to ``litellm_metadata``. This plugin writes its report to
    ``metadata``. LiteLLM's bridge reads the price from ``metadata``. From 1.107 on, its spend log reads
    ``litellm_metadata``.
    """
    metadata, router_s = kwargs.get("metadata"), kwargs.get("litellm_metadata")
    if not isinstance(metadata, dict) or not isinstance(router_s, Mapping):
        return kwargs
    deployment = {key: router_s[key] for key in _DEPLOYMENT if key in router_s}
    told = {key: metadata[key] for key in _TOLD if key in metadata}
    return {**kwargs, "metadata": {**deployment, **metadata}, "litellm_metadata": {**router_s, **told}}


def tell(metadata: dict[str, Any], told: dict[str, Any]) -> None:
    """Report image analysis to loggers and the spend log.

    LiteLLM keeps only known keys in the metadata of a spend-log row. Others belong in ``spend_logs_metadata``.
    """
    spend_logs = metadata.get("spend_logs_metadata")
    metadata["spend_logs_metadata"] = {**(spend_logs if isinstance(spend_logs, dict) else {}), METADATA_KEY: told}
    metadata[METADATA_KEY] = told
