"""Make the analysis of a request through a Router, and show the rewritten request without images."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.billing.prices import format_usd
from litellm_image_analysis.billing.request_state import load_state
from litellm_image_analysis.cli.explain.explanation import METADATA, kind_of, media_type_of
from litellm_image_analysis.cli.explain.report import refusal_of, without_base64
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.request.activation import PARAMETER

if TYPE_CHECKING:
    from litellm_image_analysis.analysis.report import Report
    from litellm_image_analysis.cli.explain.explanation import Explanation
    from litellm_image_analysis.cli.explain.request import Request
    from litellm_image_analysis.request import FoundImage
    from litellm_image_analysis.request.files import FoundFile


async def look(request: Request, explanation: Explanation) -> dict[str, Any]:
    """Ask the vision model, and return the rewritten request and the report as JSON.

    Args:
        request: the request.
        explanation: its explanation. Its images are analysed if it says so.
    """
    data = {**deepcopy({key: value for key, value in explanation.data.items() if key != "metadata"}), "metadata": {}}
    refusal = explanation.rejection
    if explanation.decision.analysed and refusal is None:
        try:
            await explanation.analyzer.replace(data, explanation.found, request.wire_format, explanation.context)
        except RequestError as error:
            refusal = error
    report = load_state(data).report
    sent = {key: data.get(key, value) for key, value in request.body.items() if key not in (PARAMETER, *METADATA)}
    own = {key: request.body[key] for key in METADATA if key in request.body}
    return {
        "request": None if refusal is not None else without_images({**sent, **own}, request),
        "refusal": refusal_of(refusal),
        "report": None if report is None else _report(report),
    }


def without_images(body: dict[str, Any], request: Request) -> dict[str, Any]:
    """Return a body with a mark in the place of each image and file that is left in it, and without other base64."""
    left = request.wire_format.find(body)
    marks = {image.path: _image_mark(image) for image in left.images}
    marks |= {file.path: _file_mark(file) for file in left.files}
    shown = without_base64({**body, **request.wire_format.replace_images(body, marks)})
    return dict(shown)


def _image_mark(image: FoundImage) -> str:
    size = image.source.encoded_bytes if image.source is not None else 0
    return f"(image, {media_type_of(image) or kind_of(image)}, {size} bytes, stays)"


def _file_mark(file: FoundFile) -> str:
    return f"(file, {file.facts.media_type or 'of unknown type'}, stays)"


def _report(report: Report) -> dict[str, Any]:
    return {
        "vision_model": report.vision_model,
        "images": report.images,
        "failed": report.failed,
        "files": report.files,
        "reasons": list(report.reasons),
        "cures": list(report.cures),
        "cost_usd": None if report.cost is None else format_usd(report.cost),
        "duration_ms": report.duration_ms,
    }
