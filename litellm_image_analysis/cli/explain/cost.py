"""An upper estimate of what a vision call costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.billing.prices import parse_usd
from litellm_image_analysis.compat import view_of
from litellm_image_analysis.engine import vision_support

if TYPE_CHECKING:
    from litellm.router import Router

    from litellm_image_analysis.analysis.prompt import VisionRequest

_BYTES_A_TOKEN = 3
"""Texts have more bytes for each token, in nearly all languages."""

_MOST_IMAGE_TOKENS = 16_384
_PIXELS_A_TOKEN = 750
_TILE = 512
_TILE_TOKENS, _BASE_TOKENS = 170, 85
_MINI_FACTOR = 34
"""gpt-4o-mini counts this many times the tokens of gpt-4o for an image, at a lower price."""

_MOST_TILES = 8


def cost_at_most(call: VisionRequest, router: Router) -> Decimal | None:
    """Return an upper estimate of a vision call's cost in USD, without retries. ``None`` for an unknown price.

    Tokens of an image are those of the most expensive of the known ways to count them.

    Args:
        call: the vision call.
        router: the gateway's router, whose deployments have the prices.
    """
    costs = [_cost(call, deployment) for deployment in view_of(router).deployments(call.model)]
    known = [cost for cost in costs if cost is not None]
    return max(known) if known and len(known) == len(costs) else None


def _cost(call: VisionRequest, deployment: Mapping[str, Any]) -> Decimal | None:
    params, info = deployment.get("litellm_params") or {}, deployment.get("model_info") or {}
    model = str(params.get("model") or "")
    listed = vision_support.cost_map_entry(model, info)
    prices = [
        parse_usd(next((each[name] for each in (params, info, listed) if each.get(name) is not None), None))
        for name in ("input_cost_per_token", "output_cost_per_token")
    ]
    if prices[0] is None or prices[1] is None:
        return None
    is_mini = "gpt-4o-mini" in str(info.get("base_model") or model)
    text = f"{call.asked.instructions}{call.asked.words}{''.join(label for label, _ in call.asked.images)}"
    tokens = math.ceil(len(text.encode("utf-8", "replace")) / _BYTES_A_TOKEN)
    tokens += sum(_image_tokens(source.size, is_mini=is_mini) for _, source in call.asked.images)
    return tokens * prices[0] + call.max_output_tokens * prices[1]


def _image_tokens(size: tuple[int, int] | None, *, is_mini: bool) -> int:
    tiled = (_BASE_TOKENS + _TILE_TOKENS * (_MOST_TILES if size is None else _tiles(*size))) * (
        _MINI_FACTOR if is_mini else 1
    )
    area = _MOST_IMAGE_TOKENS if size is None else math.ceil(size[0] * size[1] / _PIXELS_A_TOKEN)
    return max(tiled, 0 if is_mini else min(area, _MOST_IMAGE_TOKENS))


def _tiles(width: int, height: int) -> int:
    """Return the number of OpenAI's tiles, for an image that is scaled to at most 2048 and 768 pixels."""
    scale = min(1.0, 2048 / max(width, height, 1))
    scale *= min(1.0, 768 / max(min(width, height) * scale, 1))
    return max(1, math.ceil(width * scale / _TILE) * math.ceil(height * scale / _TILE))
