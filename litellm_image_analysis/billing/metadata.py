"""The request's metadata in LiteLLM, with the plugin's state and its report for loggers and the spend log."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.billing.request_state import metadata_buckets, metadata_of, state_in, update_state
from litellm_image_analysis.billing.summary import summary

if TYPE_CHECKING:
    from litellm_image_analysis.analysis.report import Report

METADATA_KEY = "image_analysis"
_TOLD = (METADATA_KEY, "spend_logs_metadata")
_DEPLOYMENT = ("model_group", "model_info", "deployment")


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


def called_group(kwargs: Mapping[str, Any]) -> object:
    """The name of the model group that a Router called, from the Router's own metadata. ``None`` without a Router.

    A caller can write a name into its own metadata. The Router's mapping contains the deployment's ``model_info``, the
    same object as in the call. In a call within LiteLLM's bridge, the Router's mapping is the second one.
    """
    named = [bucket for bucket in reversed(metadata_buckets(kwargs)) if "model_group" in bucket]
    routed = (bucket for bucket in named if bucket.get("model_info") is kwargs.get("model_info"))
    return next((bucket["model_group"] for bucket in (*routed, *named)), None)


def filled_buckets(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Copy the values that LiteLLM's bridge from generateContent to chat and its spend log need to both mappings.

    The router writes the deployment, which has the price, to ``litellm_metadata``. This plugin writes its report to
    ``metadata``. LiteLLM's bridge reads the price from ``metadata``. From 1.107 on, its spend log reads
    ``litellm_metadata``.
    """
    metadata, router_metadata = kwargs.get("metadata"), kwargs.get("litellm_metadata")
    if not isinstance(metadata, dict) or not isinstance(router_metadata, Mapping):
        return kwargs
    deployment = {key: router_metadata[key] for key in _DEPLOYMENT if key in router_metadata}
    told = {key: metadata[key] for key in _TOLD if key in metadata}
    return {**kwargs, "metadata": {**metadata, **deployment}, "litellm_metadata": {**router_metadata, **told}}


def tell(metadata: dict[str, Any], told: dict[str, Any]) -> None:
    """Report image analysis to loggers and the spend log.

    LiteLLM keeps only known keys in the metadata of a spend-log row. Others belong in ``spend_logs_metadata``.
    """
    spend_logs = metadata.get("spend_logs_metadata")
    metadata["spend_logs_metadata"] = {**(spend_logs if isinstance(spend_logs, dict) else {}), METADATA_KEY: told}
    metadata[METADATA_KEY] = told
