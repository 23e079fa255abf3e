"""An explanation as JSON. Images and secrets are not in it. Keys stay the same in later versions."""

from __future__ import annotations

import re
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.analysis.outcomes import Failed
from litellm_image_analysis.billing.prices import format_usd
from litellm_image_analysis.cli.explain.cost import cost_at_most
from litellm_image_analysis.cli.explain.explanation import kind_of, media_type_of

if TYPE_CHECKING:
    from litellm.router import Router

    from litellm_image_analysis.analysis.prompt import VisionRequest
    from litellm_image_analysis.cli.explain.explanation import Explanation, ImagePlan
    from litellm_image_analysis.cli.explain.request import Request
    from litellm_image_analysis.errors import RequestError
    from litellm_image_analysis.request.files import FoundFile

_BASE64 = re.compile(r"[A-Za-z0-9+/_=\-]{256,}")

SHORT = 12
"""Characters of a shortened hash."""


def as_report(request: Request, explanation: Explanation, router: Router) -> dict[str, Any]:
    """Return an explanation as JSON.

    Args:
        request: the request.
        explanation: the explanation.
        router: the gateway's router, for prices.
    """
    decision = explanation.decision
    calls = [_call(call, router) for call in explanation.calls]
    costs = [cost_at_most(call, router) for call in explanation.calls]
    total = None if None in costs else sum((cost for cost in costs if cost is not None), Decimal(0))
    report = {
        "route": request.route,
        "route_is_guessed": request.is_guessed,
        "analysed": decision.analysed,
        "asked_by": list(decision.asked_by),
        "why": decision.why,
        "model": decision.model,
        "vision_model": decision.vision_model,
        "deployments": [
            {"model": each.model, "accepts_images": each.accepts_images, "analysed": each.analysed}
            for each in decision.deployments
        ],
        "refusal": refusal_of(explanation.rejection),
        "on_failure": explanation.context.config.on_failure,
        "images": [_image(plan, explanation) for plan in explanation.images],
        "files": [_file(file, note) for file, note in explanation.files],
        "calls": calls,
        "vision_calls": len(calls),
        "cost_at_most_usd": None if total is None else format_usd(total),
    }
    return dict(without_base64(report))


def without_base64(value: Any) -> Any:
    """Return JSON without long base64, which a text may hold, too."""
    if isinstance(value, dict):
        return {key: without_base64(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_base64(item) for item in value]
    return _BASE64.sub(lambda found: f"({len(found[0])} characters)", value) if isinstance(value, str) else value


def refusal_of(error: RequestError | None) -> dict[str, Any] | None:
    """Return the error of a response as JSON."""
    if error is None:
        return None
    return {"status": error.status_code, "code": error.code, "message": str(error)}


def _image(plan: ImagePlan, explanation: Explanation) -> dict[str, Any]:
    image, source = plan.image, plan.image.source
    size = source.size if source is not None else None
    failure = plan.outcome if isinstance(plan.outcome, Failed) else None
    return {
        "place": image.place,
        "number": image.number,
        "count": image.count,
        "kind": kind_of(image),
        "media_type": media_type_of(image),
        "bytes": source.encoded_bytes if source is not None else None,
        "width": size[0] if size else None,
        "height": size[1] if size else None,
        "question": image.question,
        "result": _result(plan, explanation),
        "key": plan.ask.key[:SHORT] if plan.ask is not None else None,
        "same_as": plan.same_as.place if plan.same_as is not None else None,
        "reason": failure.reason.code if failure is not None else None,
        "limit": failure.limit if failure is not None else None,
        "text": plan.text,
        "text_on_failure": plan.failure_text if explanation.context.config.on_failure == "placeholder" else None,
    }


def _result(plan: ImagePlan, explanation: Explanation) -> str:
    """Return what happens to an image: analysed, note, stays or refused."""
    if explanation.rejection is not None:
        return "refused"
    if plan.text is None:
        return "stays"
    return "note" if isinstance(plan.outcome, Failed) else "analysed"


def _file(file: FoundFile, note: str | None) -> dict[str, Any]:
    return {
        "place": _place(file.path),
        "media_type": file.facts.media_type or None,
        "bytes": file.facts.size_bytes,
        "result": "stays" if note is None else "note",
        "text": note,
    }


def _place(path: tuple[str | int, ...]) -> str:
    head, *rest = path
    return str(head) + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in rest)


def _call(call: VisionRequest, router: Router) -> dict[str, Any]:
    asked, cost = call.asked, cost_at_most(call, router)
    return {
        "key": call.key[:SHORT],
        "key_parts": {
            "scope": call.scope,
            "model": call.model,
            "max_output_tokens": call.max_output_tokens,
            "instructions": sha256(asked.instructions.encode("utf-8", "replace")).hexdigest()[:SHORT],
            "question": asked.words,
            "images": [f"{label}{' ' if label else ''}{source.digest[:SHORT]}" for label, source in asked.images],
        },
        "question": asked.words,
        "may_change": call.may_change,
        "cost_at_most_usd": None if cost is None else format_usd(cost),
    }
