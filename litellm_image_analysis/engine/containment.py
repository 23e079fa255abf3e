"""What a bug of this package's own does to a request: nothing, if it asked for nothing; else what ``on_failure`` says.

This is the one place that catches what nobody expected. Cancellation is never caught, and what is raised on purpose
goes on: a ``RequestError``, LiteLLM's refusals, FastAPI's.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.analysis.outcomes import FailureReason
from litellm_image_analysis.analysis.render import failure_text
from litellm_image_analysis.analysis.report import Report
from litellm_image_analysis.billing import metadata, summary
from litellm_image_analysis.billing.request_state import METADATA_BUCKETS
from litellm_image_analysis.engine import routing
from litellm_image_analysis.engine.context import RequestContext
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.log import LOGGER
from litellm_image_analysis.request.activation import PARAMETER

if TYPE_CHECKING:
    from litellm_image_analysis.config import ImageAnalysisConfig
    from litellm_image_analysis.request import WireFormat

_ON_PURPOSE = {
    "litellm.exceptions": "BudgetExceededError",
    "litellm.proxy._types": "ProxyException",
    "starlette.exceptions": "HTTPException",
}
"""Foreign exceptions that are answers, looked up where they are loaded: a program without a proxy lacks some."""

_FRAMES = 30


@contextmanager
def log_and_continue(work: str) -> Iterator[None]:
    """Do what no request depends on: a bug in it is logged and ends the block, nothing more.

    Args:
        work: what is done, for the log.
    """
    with _contained(work, {}, lambda: None):
        yield


@contextmanager
def fail_closed_admission(
    data: dict[str, Any], wire_format: WireFormat | None, config: ImageAnalysisConfig
) -> Iterator[None]:
    """Proxy: read what a request asks for, and check whether it may have it.

    A bug in that leaves a request alone that asks for nothing. One whose model has a suffix is refused whatever
    ``on_failure`` says: nobody checked whether its caller may call the model behind the suffix.

    Args:
        data: the request.
        wire_format: its wire format; ``None`` on routes that are not served.
        config: the operator's settings.

    Raises:
        RequestError: the request cannot go on.
    """

    def recover() -> None:
        if _may_open_a_model(data, config):
            raise _internal_error() from None
        if wire_format is not None and data.pop(PARAMETER, False) is not False:
            apply_on_failure_after_bug(
                data, wire_format, RequestContext(config=config, vision_model=config.vision_model)
            )

    with _contained("reading what a request asks for", data, recover):
        yield


@contextmanager
def contained_analysis(data: dict[str, Any], wire_format: WireFormat, context: RequestContext) -> Iterator[None]:
    """Analyse the images of a request: a bug in that undoes what was done to it, and follows ``on_failure``.

    Args:
        data: the request.
        wire_format: its wire format.
        context: the values that hold for it.

    Raises:
        RequestError: ``on_failure: reject``, or the images could not even be replaced by notes.
    """
    with _contained("analysing images", data, lambda: apply_on_failure_after_bug(data, wire_format, context)):
        yield


def apply_on_failure_after_bug(data: dict[str, Any], wire_format: WireFormat, context: RequestContext) -> None:
    """Do with a request's images what ``on_failure`` says, after a bug.

    Raises:
        RequestError: ``on_failure: reject``, or the images could not even be replaced by notes.
    """
    if not _notes_stand(data, wire_format, context) and context.config.on_failure != "keep":
        raise _internal_error() from None


def _notes_stand(data: dict[str, Any], wire_format: WireFormat, context: RequestContext) -> bool:
    """Put a note in each image's place, unless images are to stay; whether the request can go on like that."""
    with log_and_continue("putting notes in the images' places"):
        found = wire_format.find_images(data)
        if found and context.config.on_failure == "reject":
            return False
        noted = found if context.config.on_failure == "placeholder" else []
        notes = {image.path: failure_text(image, FailureReason.INTERNAL) for image in noted}
        data.update(wire_format.replace_images(data, notes))
        with log_and_continue("reporting failed images"):
            reasons = tuple(FailureReason.INTERNAL.code for _ in found)
            # What had been paid by then is in the spend log; nobody here knows it.
            report = Report(context.vision_model, images=len(notes), failed=len(found), cost=None, reasons=reasons)
            metadata.save_report(data, report if found else Report(context.vision_model))
            if found:
                summary.log_request(data.get("litellm_call_id"), report)
        return True
    return False


def _internal_error() -> RequestError:
    return RequestError(
        "Image analysis failed within the gateway; its log says where. Try again, or without image analysis.",
        status_code=500,
        code="image_analysis_internal",
    )


def _may_open_a_model(data: dict[str, Any], config: ImageAnalysisConfig) -> bool:
    """Whether the model's name has a suffix, or may have one, behind which a model stands that was not asked for."""
    model = data.get("model")
    if config.suffix is None or not isinstance(model, str) or config.suffix not in model:
        return False
    with log_and_continue("looking for a model"):
        return not routing.bears_name(routing.running_router(), model)
    return True


@contextmanager
def _contained(work: str, data: dict[str, Any], recover: Callable[[], None]) -> Iterator[None]:
    """Run a block; after a bug in it, log where it is, give ``data`` back the values it had, and recover."""
    held = [(part, dict(part)) for part in (data, *map(data.get, METADATA_BUCKETS)) if isinstance(part, dict)]
    try:
        yield
    except Exception as error:
        if _is_on_purpose(error):
            raise
        LOGGER.error("image analysis: a bug of its own while %s:\n%s", work, "".join(_where(error)))
    else:
        return
    for part, values in held:
        part.clear()
        part.update(values)
    recover()


def _is_on_purpose(error: Exception) -> bool:
    foreign = (getattr(sys.modules.get(module), name, None) for module, name in _ON_PURPOSE.items())
    return isinstance(error, (RequestError, *(kind for kind in foreign if isinstance(kind, type))))


def _where(error: BaseException) -> list[str]:
    """A traceback without the exceptions' own words, which may be the request's."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    earlier = [] if cause is None else [*_where(cause), "and then:\n"]
    frames = traceback.format_tb(error.__traceback__, limit=-_FRAMES)
    inner = [line for each in getattr(error, "exceptions", ()) for line in _where(each)]
    return [*earlier, *frames, f"{type(error).__module__}.{type(error).__qualname__}\n", *inner]
