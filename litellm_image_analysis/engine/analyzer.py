"""The analysis of one request's images: cache, vision call, billing and log together."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

import litellm

from litellm_image_analysis.analysis.limits import check_shape
from litellm_image_analysis.analysis.pipeline import VisionTarget, rewrite
from litellm_image_analysis.analysis.report import Report
from litellm_image_analysis.billing import identity, metadata, summary
from litellm_image_analysis.cache.cache import Cache
from litellm_image_analysis.cache.per_request import RequestCache
from litellm_image_analysis.cache.redis_store import RedisStore
from litellm_image_analysis.engine import containment, redis_settings, routing, tenancy
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.log import LOGGER
from litellm_image_analysis.vision import local_ocr, monitoring
from litellm_image_analysis.vision.call import make_ask
from litellm_image_analysis.vision.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from litellm_image_analysis.cache.per_request import RequestOutcomes
    from litellm_image_analysis.config import ImageAnalysisConfig
    from litellm_image_analysis.engine.context import RequestContext
    from litellm_image_analysis.request import FoundImage, WireFormat
    from litellm_image_analysis.vision.call import CompletionApi


class Analyzer:
    """Replaces images by analyses of a vision model, and caches them.

    Args:
        config: the settings, with those of the cache.

    Raises:
        ConfigError: the settings need a package or a LiteLLM that is not installed.
    """

    def __init__(self, config: ImageAnalysisConfig) -> None:
        identity.check_supported(config)
        redis_settings.check_client_library(config.cache)
        in_redis = config.cache.backend == "redis"
        store = RedisStore(partial(redis_settings.connect, config.cache), LOGGER.warning) if in_redis else None
        self.cache = Cache(config.cache, config.timeout_seconds, store)
        self.gate = Gate(config, monitoring.observer(), monitoring.log_circuit)
        local_ocr.register()

    @staticmethod
    def find_images(data: dict[str, Any], wire_format: WireFormat, config: ImageAnalysisConfig) -> list[FoundImage]:
        """Find all images of a request, in order.

        Args:
            data: the request.
            wire_format: its wire format.
            config: the settings that hold for it.

        Raises:
            RequestError: the request has too many messages or is nested too deeply.
        """
        exceeded = check_shape(data, wire_format, config)
        if exceeded is not None:
            raise exceeded
        return wire_format.find_images(data)

    async def replace(
        self,
        data: dict[str, Any],
        found: Sequence[FoundImage],
        wire_format: WireFormat,
        context: RequestContext,
        earlier: RequestOutcomes | None = None,
    ) -> None:
        """Replace the images of a request by texts, and save the report in its metadata.

        Args:
            data: the request. Its values are replaced and never changed in place.
            found: its images.
            wire_format: its wire format.
            context: the values that hold for it.
            earlier: the outcomes of earlier attempts at the same request. The new ones are added.

        Raises:
            RequestError: a limit is exceeded, or ``on_failure: reject`` applies.
        """
        if not found:
            metadata.save_report(data, Report(context.vision_model))
            return
        local_ocr.register()  # a custom_provider_map in a proxy's config may have removed it
        callee = cast("CompletionApi", litellm if context.router is None else context.router)
        ask = make_ask(callee, identity.child_identity(data, count_tokens=context.config.count_vision_tokens))
        target = VisionTarget(
            model=context.vision_model,
            ask=self.gate.guarded(ask, tenancy.payer(context.caller)),
            tenant=tenancy.tenant(context.config.cache, context.caller),
            answers=self.cache if earlier is None else RequestCache(self.cache, earlier),
            file_providers=routing.file_providers(found, context.router, context.vision_model),
        )
        result = await rewrite(data, found, wire_format, context.config, target)
        if isinstance(result, RequestError):
            raise result
        data.update(result.changes)
        if result.report.failed and cast("object", litellm.cache) is not None:
            data["cache"] = {
                **(data.get("cache") or {}),
                "no-store": True,
            }  # the answer to images that were not analysed
        with containment.log_and_continue("reporting what was done"):
            metadata.save_report(data, result.report)
            summary.log_request(data.get("litellm_call_id"), result.report)
