"""The values that are needed together for the analysis of one request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from litellm_image_analysis.vision.caller_rules import NO_RULES, CallerRules

if TYPE_CHECKING:
    from litellm.proxy._types import UserAPIKeyAuth
    from litellm.router import Router

    from litellm_image_analysis.analysis.outcomes import FailureReason
    from litellm_image_analysis.config import ImageAnalysisConfig


@dataclass(frozen=True, kw_only=True)
class RequestContext:
    """Settings, vision model, router and caller of one request.

    Attributes:
        config: the settings that apply to the request.
        vision_model: the model group or model that analyses its images.
        router: makes the vision call. With ``None``, LiteLLM itself makes it.
        caller: the virtual key that pays for the vision call. ``None`` in a program without a proxy.
        rules: the rules of the request that also apply to the vision call.
        withheld: the reason why no image may be analysed, such as a key without image analysis. ``None`` if images may
            be analysed.
    """

    config: ImageAnalysisConfig
    vision_model: str
    router: Router | None = None
    caller: UserAPIKeyAuth | None = None
    rules: CallerRules = NO_RULES
    withheld: FailureReason | None = None


@dataclass(frozen=True, kw_only=True)
class ProxyContext(RequestContext):
    """The same for a request to a proxy, which always has a caller."""

    caller: UserAPIKeyAuth
