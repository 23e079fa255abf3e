"""Containment of bugs in this package.

A bug does not change a request that does not ask for analysis. A request that asks follows ``on_failure``. This is the
one place that catches unexpected exceptions. Cancellation passes, and so do exceptions that are answers: a
``RequestError``, LiteLLM's refusals, FastAPI's ``HTTPException``.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from typing_extensions import ParamSpec

from litellm_image_analysis.analysis.outcomes import Failed, FailureReason
from litellm_image_analysis.analysis.render import failure_text, file_text
from litellm_image_analysis.analysis.report import Report
from litellm_image_analysis.billing import metadata, summary
from litellm_image_analysis.billing.request_state import METADATA_BUCKETS
from litellm_image_analysis.engine import routing
from litellm_image_analysis.engine.context import RequestContext
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.log import LOGGER
from litellm_image_analysis.request.activation import PARAMETER
from litellm_image_analysis.vision import monitoring

if TYPE_CHECKING:
    from litellm_image_analysis.config import ImageAnalysisConfig
    from litellm_image_analysis.request import WireFormat

_ON_PURPOSE = {
    "litellm.exceptions": "BudgetExceededError",
    "litellm.proxy._types": "ProxyException",
    "starlette.exceptions": "HTTPException",
}
"""Exceptions of other packages that are answers, by module. A program without a proxy does not load all of them."""

_FRAMES = 30

P = ParamSpec("P")


class Contained:
    """Context manager of a block. After a bug, it logs its place, restores the values of a request, and recovers.

    It is a class because a generator takes several times as long, and a request that needs nothing runs some of them.

    Args:
        work: description of the block, for the log.
        data: the request whose values are restored. ``None`` if the block changes none.
        recover: is called after a bug, and may raise.
    """

    __slots__ = ("_data", "_held", "_recover", "_work")

    def __init__(
        self, work: str, data: dict[str, Any] | None = None, recover: Callable[[], None] | None = None
    ) -> None:
        self._work, self._data, self._recover = work, data, recover
        self._held: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def __enter__(self) -> None:
        data = self._data
        if data is not None:  # otherwise one object serves all requests
            parts = (data, *map(data.get, METADATA_BUCKETS))
            self._held = [(part, dict(part)) for part in parts if isinstance(part, dict)]

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if error is None or not isinstance(error, Exception) or _is_on_purpose(error):
            return False
        LOGGER.error("image analysis: internal error while %s:\n%s", self._work, "".join(_where(error)))
        for part, values in self._held:
            part.clear()
            part.update(values)
        if self._recover is not None:
            self._recover()
        return True


def log_and_continue(work: str) -> Contained:
    """Run a block that no request depends on. A bug in it is logged and ends the block.

    Args:
        work: description of the block, for the log.
    """
    return Contained(work)


def contained(function: Callable[P, None], work: str) -> Callable[P, None]:
    """Return the same function, with its bugs logged and not raised. No request depends on it.

    Args:
        function: the function.
        work: description of its work, for the log.
    """
    guard = log_and_continue(work)

    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        with guard:
            function(*args, **kwargs)

    return call


def fail_closed_admission(
    data: dict[str, Any], wire_format: WireFormat | None, config: ImageAnalysisConfig
) -> Contained:
    """Proxy: read the activation of a request and check that the caller may use image analysis.

    A bug does not change a request that does not ask for analysis. A request whose model has the suffix is refused with
    every ``on_failure``, because access to the model without the suffix was not checked.

    Args:
        data: the request.
        wire_format: its wire format. ``None`` on routes without image analysis.
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

    return Contained("reading the activation of a request", data, recover)


def contained_analysis(data: dict[str, Any], wire_format: WireFormat, context: RequestContext) -> Contained:
    """Analyse the images of a request. A bug restores the request and then applies ``on_failure``.

    Args:
        data: the request.
        wire_format: its wire format.
        context: the values that hold for it.

    Raises:
        RequestError: ``on_failure: reject``, or the images could not even be replaced by notes.
    """
    return Contained("analysing images", data, lambda: apply_on_failure_after_bug(data, wire_format, context))


def apply_on_failure_after_bug(data: dict[str, Any], wire_format: WireFormat, context: RequestContext) -> None:
    """Apply ``on_failure`` to the images of a request after a bug.

    Raises:
        RequestError: ``on_failure: reject``, or the images could not even be replaced by notes.
    """
    if not _notes_stand(data, wire_format, context) and context.config.on_failure != "keep":
        raise _internal_error() from None


def _notes_stand(data: dict[str, Any], wire_format: WireFormat, context: RequestContext) -> bool:
    """Replace each image by a note, unless ``on_failure`` keeps images. Returns whether the request can continue."""
    with log_and_continue("replacing images by notes"):
        attachments = wire_format.find(data)
        found = attachments.images
        reasons = tuple(FailureReason.INTERNAL.code for _ in found)
        if found:
            _count_failed(context, Report(context.vision_model, failed=len(found), reasons=reasons))
        if found and context.config.on_failure == "reject":
            return False
        noted = found if context.config.on_failure == "placeholder" else []
        notes = {image.path: failure_text(image, Failed(FailureReason.INTERNAL)) for image in noted}
        data.update(wire_format.replace_images(data, notes))
        with log_and_continue("replacing files by notes"):
            files = attachments.files if context.config.on_failure == "placeholder" else []
            data.update(wire_format.replace_images(data, {file.path: file_text(file.facts) for file in files}))
        with log_and_continue("reporting failed images"):
            # The spend log has the cost of earlier vision calls. It is not known here.
            report = Report(context.vision_model, images=len(notes), failed=len(found), cost=None, reasons=reasons)
            metadata.save_report(data, report if found else Report(context.vision_model))
            if found:
                summary.log_request(data.get("litellm_call_id"), report)
        return True
    return False


def _count_failed(context: RequestContext, report: Report) -> None:
    with log_and_continue("counting failed images"):
        team_id = None if context.caller is None else context.caller.team_id
        group = routing.called_group(context.router, context.vision_model, team_id)
        monitoring.metrics().count_request(group.label, report)


def _internal_error() -> RequestError:
    return RequestError(
        "Image analysis failed within the gateway; its log says where. Try again, or without image analysis.",
        status_code=500,
        code="image_analysis_internal",
    )


def _may_open_a_model(data: dict[str, Any], config: ImageAnalysisConfig) -> bool:
    """Whether the model's name ends in the suffix, or may do so, and access to the base model was not checked."""
    model = data.get("model")
    if config.suffix is None or not isinstance(model, str) or config.suffix not in model:
        return False
    with log_and_continue("looking for a model"):
        return not routing.bears_name(routing.running_router(), model)
    return True


def _is_on_purpose(error: Exception) -> bool:
    foreign = (getattr(sys.modules.get(module), name, None) for module, name in _ON_PURPOSE.items())
    return isinstance(error, (RequestError, *(kind for kind in foreign if isinstance(kind, type))))


def _where(error: BaseException) -> list[str]:
    """A traceback without the exceptions' messages, which may hold text of the request."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    earlier = [] if cause is None else [*_where(cause), "and then:\n"]
    frames = traceback.format_tb(error.__traceback__, limit=-_FRAMES)
    inner = [line for each in getattr(error, "exceptions", ()) for line in _where(each)]
    return [*earlier, *frames, f"{type(error).__module__}.{type(error).__qualname__}\n", *inner]
