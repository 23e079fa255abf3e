"""LiteLLM's hooks, translated in and out. What is done in between is the pipeline's."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, final

import litellm
from litellm.integrations.custom_logger import CustomLogger

from litellm_image_analysis.billing import metadata, summary, total
from litellm_image_analysis.billing.request_state import load_state, take_requested, update_state
from litellm_image_analysis.compat import has_own_limits
from litellm_image_analysis.config import ImageAnalysisConfig
from litellm_image_analysis.engine import containment, routing
from litellm_image_analysis.engine.analyzer import Analyzer
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.proxy import admission, disconnects, http_errors, startup
from litellm_image_analysis.proxy.admission import Asked
from litellm_image_analysis.proxy.aliases import advertise, advertise_again, check_suffix, withdraw
from litellm_image_analysis.proxy.auto_mode import NOTHING_TO_DO, Attempt, AutoMode
from litellm_image_analysis.proxy.deferred import DeferredAnalysis, deferred_analysis
from litellm_image_analysis.proxy.late_hook import LateHook, rerun_guardrails
from litellm_image_analysis.request import WireFormat, generate_content, responses
from litellm_image_analysis.sdk import library
from litellm_image_analysis.sdk.blocking import serve_calls
from litellm_image_analysis.vision.call import is_vision_call

if TYPE_CHECKING:
    from litellm.proxy._types import UserAPIKeyAuth
    from litellm.router import Router
    from litellm.types.utils import CallTypes

    from litellm_image_analysis.vision.gate import ModelStatus

WIRE_FORMATS: dict[str, WireFormat] = {**library.WIRE_FORMATS, "acompact_responses": responses}
"""Wire format by LiteLLM's call type, on a proxy."""

_FORWARDED = {"pass_through_endpoint", "allm_passthrough_route"}
"""LiteLLM's call types whose body goes to a provider as it is."""

_WATCH_SECONDS = 1.0
_SECONDS_AFTER_A_BUG = 60.0


@final  # LiteLLM looks for hooks on an instance's own class: those of a subclass would be skipped in silence
class ImageAnalysis(CustomLogger):
    """Image understanding as a LiteLLM callback.

    Args:
        config: the settings; all defaults if left out.
        router: in a program, makes the vision calls; its own calls are served once it is attached.
    """

    def __init__(self, config: ImageAnalysisConfig | None = None, *, router: Router | None = None) -> None:
        super().__init__()
        self.config = config or ImageAnalysisConfig()
        self._analyzer = Analyzer(self.config)
        self._library = library.Library(self.config, self._analyzer, self._check_alone, router)
        self._attempts = AutoMode(self.config, self._analyzer, self._check_alone)
        self._late_hook = LateHook(self._analyse)

    def attach(self, router: Router) -> ImageAnalysis:
        """In a program: serve the calls of this Router, under its models' names and the suffixed ones.

        Args:
            router: it also makes the vision calls, so ``vision_model`` is one of its model groups. Its blocking
                methods do their work in an event loop in a thread from now on.

        Returns:
            Itself, registered in ``litellm.callbacks``.

        Raises:
            ConfigError: the installed LiteLLM would not understand names with the suffix.
        """
        if self.config.suffix is None:
            withdraw(router)
        else:
            check_suffix(self.config.suffix)
            advertise(router, self.config.suffix)
        self._library = library.Library(self.config, self._analyzer, self._check_alone, router)
        serve_calls(router, partial(self._prepare, router))
        if not self._is_registered():
            litellm.callbacks.append(self)
        return self

    def _prepare(self, router: Router, arguments: dict[str, Any]) -> dict[str, Any]:
        """What to make an attached Router's call with, while this instance serves it."""
        if not self._is_registered():
            return arguments
        with containment.log_and_continue("keeping names"):
            advertise_again(router)
        return self._library.ask_by_parameter(router, arguments)

    def _is_registered(self) -> bool:
        return any(callback is self for callback in litellm.callbacks)

    @staticmethod
    def _check_alone() -> None:
        """Refuse to work beside another instance: which settings hold would be a matter of their order.

        Raises:
            RequestError: says what to do.
        """
        instances = {id(callback) for callback in litellm.callbacks if isinstance(callback, ImageAnalysis)}
        if len(instances) > 1:
            raise RequestError(
                f"litellm.callbacks holds {len(instances)} instances of ImageAnalysis: register one.",
                status_code=500,
                code="several_instances",
            )

    async def rewrite(self, messages: list[Any], *, vision_model: str | None = None) -> list[Any]:
        """Replace the images in a conversation, for whoever sends it on himself.

        Args:
            messages: in OpenAI's chat format; they stay as they are.
            vision_model: the model that is to look, if not the default one.

        Returns:
            Messages with texts where images stood.

        Raises:
            RequestError: a limit is exceeded, or ``on_failure: reject`` applies.
        """
        return await self._library.rewrite(messages, vision_model or self.config.vision_model)

    async def flush_cache(self, scope: str | None = None) -> None:
        """Forget analyses: all of them, or those of one scope, here, in Redis and within seconds in every worker.

        Args:
            scope: ``team:<team id>``, ``key:<the key's hash>``, ``user:<user id>`` or ``global``.

        Raises:
            ConnectionError: the cache is to live in Redis, but there is none to connect to.
            redis.exceptions.RedisError: Redis could not be reached, or refused; this process has forgotten.
        """
        await self._analyzer.cache.flush(scope)

    def stats(self) -> dict[str, ModelStatus]:
        """How each vision model that was asked lately fares in this process: circuit, calls in flight, queue."""
        return self._analyzer.gate.loads()

    async def check_start(self) -> None:
        """Proxy: tell the operator of what is wrong with the vision model or the cache, once the router is up."""
        with containment.log_and_continue("checking the start"):
            await startup.router_is_up()
            await self._analyzer.cache.check()
            await startup.report_unserved_default(self.config.vision_model)

    async def keep_in_place(self) -> None:
        """Proxy: keep what LiteLLM may drop at run time: the suffixed names, and our place behind its limits."""
        with containment.log_and_continue("waiting for the proxy"):
            await startup.router_is_up()
            self._advertise()
            await startup.wait_for(has_own_limits)
        while True:
            pause = _SECONDS_AFTER_A_BUG
            with containment.log_and_continue("keeping names and place"):
                self._advertise()
                self._late_hook.keep_in_place()
                pause = _WATCH_SECONDS
            await asyncio.sleep(pause)

    def _advertise(self) -> None:
        router = routing.running_router()
        if router is not None and self.config.advertise and self.config.suffix is not None:
            advertise(router, self.config.suffix)

    async def aclose(self) -> None:
        """Close the cache's connection to Redis, in programs that end their event loop before themselves."""
        await self._analyzer.cache.aclose()

    async def async_pre_call_hook(
        self, user_api_key_dict: UserAPIKeyAuth, cache: Any, data: dict[str, Any], call_type: str
    ) -> dict[str, Any] | None:
        """Proxy: replace the images of a request that asks for it.

        Raises:
            ProxyException: the request cannot be served; LiteLLM answers with its status and message.
        """
        del cache  # the proxy's auth cache: never a place for analyses
        try:
            with containment.fail_closed_admission(data, WIRE_FORMATS.get(call_type), self.config):
                if call_type not in WIRE_FORMATS:
                    is_routed = call_type not in _FORWARDED
                    await admission.check_name(data, self.config, user_api_key_dict, is_routed=is_routed)
                    return None
                asked = await admission.take_request(data, self.config, user_api_key_dict)
                if isinstance(asked, DeferredAnalysis):
                    asked.remember(data)
                elif asked is not None:
                    self._check_alone()
                    update_state(metadata.metadata_of(data), requested=asked)
        except RequestError as error:
            raise http_errors.http_error(error, call_type) from None
        if not self._late_hook.is_in_place:
            await self._analyse(user_api_key_dict, data, call_type)
        return data

    async def _analyse(self, caller: UserAPIKeyAuth, data: dict[str, Any], call_type: str) -> None:
        """Replace the images of a request that asked for it: behind LiteLLM's limits, if the last hook is in place."""
        asked = take_requested(data)
        if not isinstance(asked, Asked):
            return
        context, wire_format, run_guardrails = asked.context, WIRE_FORMATS[call_type], None
        try:
            with containment.contained_analysis(data, wire_format, context):
                found = self._analyzer.find_images(data, wire_format, context.config)
                if found:
                    await admission.check_vision(asked, data, self.config)
                await disconnects.cancel_on_disconnect(self._analyzer.replace(data, found, wire_format, context))
                with containment.log_and_continue("making out a bill"):
                    total.attach_cost(data, call_type, is_shown=False)
                if found:
                    run_guardrails = rerun_guardrails(data, caller, call_type)
        except RequestError as error:
            raise http_errors.http_error(error, call_type) from None
        if run_guardrails is not None:
            await run_guardrails()

    async def async_pre_call_deployment_hook(
        self, kwargs: dict[str, Any], call_type: CallTypes | None
    ) -> dict[str, Any] | None:
        """SDK: replace the images of a call that asks for it or needs it; the caller's objects stay as they are.

        On a proxy the images of a request that asked are gone by now, and those of others may have to go;
        generateContent's call is helped to its deployment's price.

        Raises:
            RequestError: the call cannot be served.
            ProxyException: the same on a proxy.
        """
        name, request, run_guardrails = call_type.value if call_type is not None else "", None, None
        waiting = None if is_vision_call() else deferred_analysis(kwargs)
        with containment.log_and_continue("looking at a call"):
            if waiting is None:
                request = await self._library.before_call(kwargs, name)
            else:
                request, run_guardrails = await self._before_attempt(kwargs, name, waiting)
        if run_guardrails is not None:
            await run_guardrails()
        return self._filled_buckets(kwargs if request is None else request, name) or request

    async def _before_attempt(self, kwargs: dict[str, Any], name: str, waiting: DeferredAnalysis) -> Attempt:
        if name not in WIRE_FORMATS:
            return NOTHING_TO_DO
        try:
            return await self._attempts.before_call(kwargs, name, WIRE_FORMATS[name], waiting)
        except RequestError as error:
            raise http_errors.attempt_error(error, name) from None

    @staticmethod
    def _filled_buckets(kwargs: dict[str, Any], name: str) -> dict[str, Any] | None:
        with containment.log_and_continue("telling LiteLLM of a deployment"):
            if WIRE_FORMATS.get(name) is generate_content and load_state(kwargs).report is not None:
                return metadata.filled_buckets(kwargs)
        return None

    async def async_post_call_success_deployment_hook(
        self, request_data: dict[str, Any], response: Any, call_type: CallTypes | None
    ) -> None:
        """Take down what the call cost; SDK: show in the response's hidden parameters what it cost altogether."""
        with containment.log_and_continue("taking down what a call cost"):
            if call_type is not None:
                library.after_call(request_data, response, call_type.value)

    async def async_logging_hook(
        self, kwargs: dict[str, Any], result: Any, call_type: str
    ) -> tuple[dict[str, Any], Any]:
        """SDK: let loggers see a call at its own price."""
        return self.logging_hook(kwargs, result, call_type)

    def logging_hook(self, kwargs: dict[str, Any], result: Any, call_type: str) -> tuple[dict[str, Any], Any]:
        """SDK: the same for those that log in a thread."""
        del call_type
        with containment.log_and_continue("showing loggers a call's own price"):
            total.log_base_cost(kwargs)
        return kwargs, result

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """SDK: take down what a stream cost."""
        del response_obj, start_time, end_time
        with containment.log_and_continue("taking down what a stream cost"):
            total.finish(kwargs)

    async def async_post_call_response_headers_hook(
        self,
        data: dict[str, Any],
        user_api_key_dict: UserAPIKeyAuth,
        response: Any,
        request_headers: dict[str, str] | None = None,
        litellm_call_info: dict[str, Any] | None = None,
    ) -> dict[str, str] | None:
        """Proxy: tell the caller which model looked, how many images, how long and at what cost."""
        with containment.log_and_continue("telling headers"):
            report = load_state(data).report
            if report is not None:
                return summary.response_headers(report, total.get_base_cost(data, response))
        return None
