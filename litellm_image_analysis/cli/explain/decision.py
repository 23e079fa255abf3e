"""Whether a request is analysed, and by which vision model: the proxy's own decisions.

The caller counts as one with the master key. Access and budgets of keys are not checked, because they are in the
proxy's database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import litellm

from litellm_image_analysis.analysis.outcomes import FailureReason
from litellm_image_analysis.engine import routing, vision_support
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.proxy import served_models, vision_choice
from litellm_image_analysis.request.activation import NOT_GIVEN, PARAMETER, Active, Inactive, Invalid

if TYPE_CHECKING:
    from litellm.router import Router

    from litellm_image_analysis.config import ImageAnalysisConfig


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment of the model, in a request that does not ask.

    Attributes:
        model: LiteLLM's name of its model.
        accepts_images: ``None`` if it is not known.
        analysed: whether images for it are analysed automatically. ``None`` if that is not known. They then stay.
    """

    model: str
    accepts_images: bool | None
    analysed: bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What is decided before the images of a request are read.

    Attributes:
        analysed: whether images are analysed, for at least one deployment.
        asked_by: ``suffix``, ``ocr_model``, ``alias`` or ``auto``.
        why: the decision as a sentence.
        model: the model without the suffix.
        vision_model: the vision model.
        deployments: the deployments of a request that does not ask.
        withheld: the reason why no image is analysed although the request asks.
        refusal: the error for the response, if the proxy refuses the request.
    """

    analysed: bool
    why: str
    model: Any
    vision_model: str
    asked_by: Sequence[str] = ()
    deployments: Sequence[Deployment] = ()
    withheld: FailureReason | None = None
    refusal: RequestError | None = None


def decide(body: dict[str, Any], config: ImageAnalysisConfig, router: Router) -> Decision:
    """Decide whether a request is analysed.

    Args:
        body: the request.
        config: the settings.
        router: the gateway's router.
    """
    named = body["model"]
    activation = routing.activation_of(named, config, router, body.get(PARAMETER, NOT_GIVEN))
    if isinstance(activation, Invalid):
        refusal = RequestError(f"{PARAMETER}: {activation.problem}", param=PARAMETER, code="invalid_ocr_model")
        return _refused(Decision(analysed=False, why="", model=named, vision_model=config.vision_model), refusal)
    if isinstance(activation, Active):
        return _checked(_asked(named, body, activation), activation, config, router)
    return _not_asked(activation, config, router)


def _asked(named: str, body: dict[str, Any], activation: Active) -> Decision:
    ways = [
        *(["suffix"] if activation.model != named else []),
        *(["ocr_model"] if PARAMETER in body else []),
    ] or ["alias"]
    return Decision(
        analysed=True,
        asked_by=ways,
        why=f"the request asks for analysis by {' and '.join(ways)}",
        model=activation.model,
        vision_model=activation.vision_model,
    )


def _checked(decision: Decision, activation: Active, config: ImageAnalysisConfig, router: Router) -> Decision:
    """Check that the models are served and allowed."""
    names = [name.strip() for name in _called(activation.model).split(",")]
    if not any(served_models.may_be_served(name, router, None) for name in names):
        return _refused(decision, served_models.unknown_model(activation.model))
    name, allowed = activation.vision_model, config.allowed_vision_models
    if activation.chosen_by_caller and allowed is not None and name not in allowed:
        problem, status = vision_choice.NOT_ALLOWED, 403
    elif routing.serves(router, name, None):
        return decision
    elif not activation.chosen_by_caller:
        return replace(decision, withheld=FailureReason.MISCONFIGURED)
    else:
        problem, status = vision_choice.NOT_SERVED, 400
    message = f"{PARAMETER}: {problem.format(name=name)}"
    return _refused(decision, RequestError(message, status_code=status, param=PARAMETER, code="invalid_ocr_model"))


def _called(model: Any) -> str:
    """Return the model that LiteLLM calls by the aliases of its settings."""
    return str(litellm.model_alias_map.get(model, model))


def _refused(decision: Decision, refusal: RequestError) -> Decision:
    return replace(decision, analysed=False, refusal=refusal, why="the proxy refuses the request")


def _not_asked(activation: Inactive, config: ImageAnalysisConfig, router: Router) -> Decision:
    decision = Decision(
        analysed=False, why="ocr_model: false switches it off", model=activation.model, vision_model=config.vision_model
    )
    if activation.is_refused:
        return decision
    found = [
        Deployment(
            model,
            vision_support.accepts_images(model, info),
            vision_support.analysis_due(model, info, config.mode),
        )
        for model, info in routing.deployments(router, _called(activation.model), None)
    ]
    decision = replace(decision, deployments=found)
    due = [each.analysed for each in found]
    if True not in due:
        unknown = ". It is not known whether the model accepts images" if None in due else ""
        why = f"the request does not ask, and mode is {config.mode}{unknown}"
        return replace(decision, why=why)
    every = "its deployments accept" if False not in due and None not in due else "some of its deployments accept"
    withheld = None if routing.serves(router, config.vision_model, None) else FailureReason.MISCONFIGURED
    why = f"the request does not ask, and {every} no images or are set to image_analysis: always"
    return replace(decision, analysed=True, asked_by=("auto",), why=why, withheld=withheld)
