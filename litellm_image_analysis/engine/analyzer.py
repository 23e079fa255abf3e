"""The one place where a request's images are analysed for real: cache, vision call, bill and log put together."""

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
    """Replaces images by what a vision model says of them, and remembers that.

    Args:
        config: how and where it is remembered.

    Raises:
        ConfigError: what the settings need is not there.
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
        """All images of a request, in order.

        Args:
            data: the request.
            wire_format: its wire format.
            config: the settings that hold for it.

        Raises:
            RequestError: it is too long or too deep to be read.
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
        """Put texts where the images of ``data`` stand, and note in it how that went.

        Args:
            data: the request; its own values are replaced, never changed.
            found: its images.
            wire_format: its wire format.
            context: the values that hold for it.
            earlier: what came of images in earlier attempts of the same request; this one's are added.

        Raises:
            RequestError: a limit is exceeded, or ``on_failure: reject`` applies.
        """
        if not found:
            metadata.save_report(data, Report(context.vision_model))
            return
        local_ocr.register()  # a custom_provider_map in a proxy's config may have removed it since
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
            data["cache"] = {**(data.get("cache") or {}), "no-store": True}  # an answer to what could not be seen
        with containment.log_and_continue("reporting what was done"):
            metadata.save_report(data, result.report)
            summary.log_request(data.get("litellm_call_id"), result.report)
