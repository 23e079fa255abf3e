"""The state of a request between LiteLLM's hooks: one object under one key of its metadata."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from litellm_image_analysis.analysis.report import Report
    from litellm_image_analysis.billing.total import RequestCost

STATE_KEY = "_image_analysis_state"
_AUTH = "user_api_key_auth"
_JSON = (str, int, float, bool, list, dict, type(None))
METADATA_BUCKETS = ("litellm_metadata", "metadata")
"""LiteLLM keeps a request's metadata under one of these names, depending on the route. The Router may use the other."""


@dataclass(slots=True, repr=False)  # not frozen: that takes three times as long to make
class RequestState:
    """State of one attempt at a request.

    It is not changed. An update replaces it in one metadata mapping, so an attempt with a copy of the metadata has its
    own state. LiteLLM copies and prints metadata. This object is not copied, and ``repr`` shows nothing of a request.

    Attributes:
        report: the report on image analysis.
        cost: the cost of the request with its vision calls.
        requested: the analysis that a proxy's request asks for, until it is made. ``proxy`` defines its type.
        deferred: the analysis that a proxy's request needs if its deployment accepts no images. ``proxy`` defines its
            type.
        outcomes: the outcomes of earlier attempts of a Router's call in a program.
    """

    report: Report | None = None
    cost: RequestCost | None = None
    requested: object | None = None
    deferred: object | None = None
    outcomes: object | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> RequestState:
        """Itself."""
        return self


_NOTHING = RequestState()


def state_in(metadata: Mapping[str, Any]) -> RequestState:
    """The state in one metadata mapping. Callers cannot forge it, because JSON has no such objects."""
    found = metadata.get(STATE_KEY)
    return found if isinstance(found, RequestState) else _NOTHING


def metadata_of(data: MutableMapping[str, Any]) -> dict[str, Any]:
    """The request's metadata mapping, which LiteLLM keeps under one of two names. It is created if it is missing."""
    known = metadata_buckets(data)
    if len(known) == 1:
        return known[0]
    # The Router's own metadata is not always in the request's mapping.
    own = [bucket for bucket in known if state_in(bucket).deferred is not None]
    for bucket in (*own, *known):
        return bucket
    made: dict[str, Any] = {}
    data["metadata"] = made
    return made


def metadata_buckets(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The request's metadata mappings. The one that the proxy wrote is first.

    Before LiteLLM 1.100, some routes also keep a caller's own ``litellm_metadata``. Only the proxy's mapping has the
    caller's auth as an object, because JSON has no such objects.
    """
    found = []
    for name in METADATA_BUCKETS:
        bucket = data.get(name)
        if isinstance(bucket, dict):
            found.append(bucket)
    if len(found) < 2:
        return found
    return sorted(found, key=lambda bucket: isinstance(bucket.get(_AUTH), _JSON))


def load_state(data: Mapping[str, Any]) -> RequestState:
    """The state of a request, from both of its metadata mappings.

    Args:
        data: the request, or the keyword arguments of a call.
    """
    found: RequestState | None = None
    for name in METADATA_BUCKETS:
        metadata = data.get(name)
        if metadata is not None and isinstance(metadata, dict):
            state = metadata.get(STATE_KEY)
            if state is not None and isinstance(state, RequestState):
                found = state if found is None else _joined(found, state)
    return _NOTHING if found is None else found


def _joined(first: RequestState, second: RequestState) -> RequestState:
    """The attributes of the first state, and those of the second that the first does not have."""
    known = {field.name: getattr(first, field.name) for field in fields(RequestState)}
    return replace(second, **{name: value for name, value in known.items() if value is not None})


def update_state(metadata: MutableMapping[str, Any], **changes: Any) -> None:
    """Replace the state in one metadata mapping.

    Args:
        metadata: the mapping.
        changes: new values of the state's attributes.
    """
    known = state_in(metadata)
    metadata[STATE_KEY] = RequestState(**changes) if known is _NOTHING else replace(known, **changes)


def pop_requested(data: Mapping[str, Any]) -> object | None:
    """The analysis that the request asks for. It is removed from the state."""
    requested = load_state(data).requested
    if requested is not None:
        for metadata in metadata_buckets(data):
            if state_in(metadata).requested is not None:
                update_state(metadata, requested=None)
    return requested
