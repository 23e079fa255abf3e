"""The request's metadata in LiteLLM: what this plugin notes there for its later hooks, loggers and the spend log."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.billing.summary import summary

if TYPE_CHECKING:
    from litellm_image_analysis.analysis.report import Report

METADATA_KEY = "image_analysis"
REPORT_KEY = "_image_analysis_report"
BILL_KEY = "_image_analysis_bill"
STANDBY_KEY = "_image_analysis_standby"
OUTCOMES_KEY = "_image_analysis_outcomes"
METADATA_BUCKETS = ("litellm_metadata", "metadata")
_TOLD = (METADATA_KEY, "spend_logs_metadata")
_NOTED = (REPORT_KEY, BILL_KEY, *_TOLD)
_DEPLOYMENT = ("model_group", "model_info", "deployment")


def metadata_of(data: MutableMapping[str, Any]) -> dict[str, Any]:
    """The request's metadata bucket, which LiteLLM keeps under one of two names by route; made if missing."""
    buckets = {name: data[name] for name in METADATA_BUCKETS if isinstance(data.get(name), dict)}
    # The Router keeps notes of its own in a bucket that is not always the request's.
    own = [name for name, bucket in buckets.items() if STANDBY_KEY in bucket]
    name = (own or list(buckets) or ["metadata"])[0]
    bucket = data.get(name)
    if not isinstance(bucket, dict):
        bucket = data[name] = {}
    return bucket


def save_report(data: MutableMapping[str, Any], report: Report) -> None:
    """Note the report in the request's metadata: for this package's later hooks, loggers, and the spend log."""
    metadata = metadata_of(data)
    metadata[REPORT_KEY] = report
    if report.images or report.failed:
        tell(metadata, summary(report))


def share_notes(data: MutableMapping[str, Any], home: MutableMapping[str, Any]) -> None:
    """Note in a request's metadata what was noted in those of one of its attempts, which may be a copy."""
    bucket = metadata_of(data)
    home.update({key: bucket[key] for key in _NOTED if key in bucket})


def load_report(data: Mapping[str, Any]) -> object:
    """The report ``record`` noted, or ``None``. Callers cannot forge one: JSON does not make such objects."""
    return get_note(data, REPORT_KEY)


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
