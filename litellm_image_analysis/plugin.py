"""LiteLLM's hooks. Each translates its arguments, calls the package that does the work, and translates the result."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, final

import litellm
from litellm.integrations.custom_logger import CustomLogger

from litellm_image_analysis.analysis import tenant
from litellm_image_analysis.billing import metadata, summary, total
from litellm_image_analysis.billing.request_state import load_state, metadata_of, pop_requested, update_state
from litellm_image_analysis.compat import has_own_limits
from litellm_image_analysis.config import ImageAnalysisConfig, config_of
from litellm_image_analysis.engine import containment, routing, tenancy, unserved, vision_support
from litellm_image_analysis.engine.analyzer import Analyzer
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.event_loops import take_turn
from litellm_image_analysis.page import route
from litellm_image_analysis.proxy import admission, budgets, connections, http_errors, startup
from litellm_image_analysis.proxy.admission import RequestedAnalysis
from litellm_image_analysis.proxy.aliases import advertise, advertise_again, check_suffix, withdraw
from litellm_image_analysis.proxy.auto_mode import Attempt, AutoMode
from litellm_image_analysis.proxy.deferred import DeferredAnalysis, deferred_analysis
from litellm_image_analysis.proxy.late_hook import LateHook, rerun_guardrails
from litellm_image_analysis.request import WireFormat, generate_content, responses
from litellm_image_analysis.sdk import library
from litellm_image_analysis.sdk.blocking import serve_calls
from litellm_image_analysis.vision.call import current_vision_call

if TYPE_CHECKING:
    from litellm.proxy._types import UserAPIKeyAuth
    from litellm.router import Router
    from litellm.types.utils import CallTypes
    from typing_extensions import Unpack

    from litellm_image_analysis.config import Settings
    from litellm_image_analysis.vision.gate import ModelStatus

WIRE_FORMATS: dict[str, WireFormat] = {**library.WIRE_FORMATS, "acompact_responses": responses}
"""Wire format by LiteLLM's call type, on a proxy."""

_FORWARDED = {"pass_through_endpoint", "allm_passthrough_route"}
"""LiteLLM's call types whose body goes to a provider as it is."""

_PREPARING_A_REQUEST = containment.log_and_continue("preparing a request that does not ask")
_DECIDING = containment.log_and_continue("deciding for all deployments of a request")
_CHECKING_A_ROUTE = containment.log_and_continue("checking the route of a call")
_PREPARING_A_CALL = containment.log_and_continue("preparing a call")
_SAVING_A_COST = containment.log_and_continue("saving the cost of a call")
_TELLING_LOGGERS = containment.log_and_continue("reporting the price of the call to loggers")
_WRITING_HEADERS = containment.log_and_continue("writing response headers")
"""The guards that every request passes, made once."""

_WATCH_SECONDS = 1.0
_SECONDS_AFTER_A_BUG = 60.0


@final  # LiteLLM looks for hooks on an instance's own class: those of a subclass would be skipped in silence
class ImageAnalysis(CustomLogger):
    """Image understanding for LiteLLM, as a callback.

    Args:
        config: the settings. Defaults apply if it is left out.
        router: in a program, makes the vision calls. Its own calls are served once it is attached.
        settings: single settings instead of ``config``, such as ``vision_model="gpt-4o"``.

    Raises:
        ConfigError: a setting is wrong, or needs a package or a LiteLLM that is not installed.
    """

    def __init__(
        self, config: ImageAnalysisConfig | None = None, *, router: Router | None = None, **settings: Unpack[Settings]
    ) -> None:
        super().__init__()
        self.config = config_of(config, settings)
        if router is not None:
            routing.check_router(router)
        self._analyzer = Analyzer(self.config)
        self._library = library.Library(self.config, self._analyzer, self._check_alone, router)
        self._auto_mode = AutoMode(self.config, self._analyzer, self._check_alone)
        self._late_hook = LateHook(self._analyse)

    def attach(self, router: Router) -> ImageAnalysis:
        """In a program: serve the calls of a Router, under the names of its models and under suffixed names.

        Args:
            router: it also makes the vision calls, so ``vision_model`` is one of its model groups. From now on its
                blocking methods run in an event loop in a thread.

        Returns:
            Itself, registered in ``litellm.callbacks``.

        Raises:
            ConfigError: it is no Router, or the installed LiteLLM does not resolve names with the suffix.
        """
        routing.check_router(router)
        if self.config.suffix is None:
            withdraw(router)
        else:
            check_suffix(self.config.suffix)
            advertise(router, self.config.suffix, self.config.vision_model)
        self._library = library.Library(self.config, self._analyzer, self._check_alone, router)
        serve_calls(router, partial(self._prepare, router))
        if not self._is_registered():
            litellm.callbacks.append(self)
        return self

    def _prepare(self, router: Router, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments for a call of an attached Router. They are unchanged if this instance is not registered."""
        if not self._is_registered():
            return arguments
        with containment.log_and_continue("keeping aliases"):
            advertise_again(router)
        return self._library.ask_by_parameter(router, arguments)

    def _is_registered(self) -> bool:
        return any(callback is self for callback in litellm.callbacks)

    @staticmethod
    def _check_alone() -> None:
        """Check that this is the only instance: with two, the settings would depend on their order.

        Raises:
            RequestError: there are several. The message says what to do.
        """
        instances = {id(callback) for callback in litellm.callbacks if isinstance(callback, ImageAnalysis)}
        if len(instances) > 1:
            raise RequestError(
                f"litellm.callbacks holds {len(instances)} instances of ImageAnalysis: register one.",
                status_code=500,
                code="several_instances",
            )

    async def rewrite(self, messages: list[Any], *, vision_model: str | None = None) -> list[Any]:
        """Replace the images in a conversation, and return it without a call of the text model.

        Args:
            messages: in OpenAI's chat format. They are not changed.
            vision_model: the vision model, if not the default one.

        Returns:
            The messages, with texts in the images' places.

        Raises:
            RequestError: a limit is exceeded, or ``on_failure: reject`` applies.
        """
        return await self._library.rewrite(messages, vision_model or self.config.vision_model)

    async def flush_cache(self, scope: str | None = None) -> None:
        """Flush the cache, or the part of one scope, in this process, in Redis, and within seconds in every worker.

        Args:
            scope: ``team:<team id>``, ``key:<the key's hash>``, ``user:<user id>`` or ``global``.

        Raises:
            ConfigError: no scope has this form.
            ConnectionError: the cache uses Redis, but no Redis is configured.
            redis.exceptions.RedisError: Redis could not be reached or refused. This process has flushed its memory.
        """
        tenant.check_scope(scope)
        await self._analyzer.cache.flush(scope)

    def stats(self) -> dict[str, ModelStatus]:
        """Status of each recently used vision model in this process: circuit, calls in flight, queue."""
        return self._analyzer.gate.loads()

    async def check_start(self, *, has_settings: bool = True) -> None:
        """Proxy: serve the page, and log problems with the vision model or the cache, once the router is up.

        Args:
            has_settings: whether the settings are those of the config. Otherwise they are the defaults.
        """
        with containment.log_and_continue("installing the page"):
            route.install(self.config.page, self._analyzer)
        with containment.log_and_continue("checking the start"):
            await startup.router_is_up()
            startup.report_ready(self.config, has_settings=has_settings, is_registered=self._is_registered())
            startup.report_short_grace(self.config.timeout_seconds)
            await self._analyzer.cache.check()
            fingerprint = tenancy.fingerprint(self.config.cache)
            if fingerprint is not None and await self._analyzer.cache.has_other_keys(fingerprint):
                startup.report_other_cache_keys()
            await startup.report_unserved_default(self.config.vision_model)
            startup.report_suffixed_models(self.config.suffix, self.config.vision_model)

    async def keep_in_place(self) -> None:
        """Proxy: keep the suffixed names and the place of the late hook, which LiteLLM may replace at run time."""
        with containment.log_and_continue("waiting for the proxy"):
            await startup.router_is_up()
            self._advertise()
            await startup.wait_for(has_own_limits)
        while True:
            pause = _SECONDS_AFTER_A_BUG
            with containment.log_and_continue("keeping aliases and the late hook"):
                self._advertise()
                self._late_hook.keep_in_place()
                pause = _WATCH_SECONDS
            await asyncio.sleep(pause)

    def _advertise(self) -> None:
        router = routing.running_router()
        if router is not None and self.config.advertise and self.config.suffix is not None:
            advertise(router, self.config.suffix, self.config.vision_model)

    async def aclose(self) -> None:
        """Close the cache's connection to Redis, in programs that end their event loop before the process."""
        await self._analyzer.cache.aclose()

    async def async_pre_call_hook(
        self, user_api_key_dict: UserAPIKeyAuth, cache: Any, data: dict[str, Any], call_type: str
    ) -> dict[str, Any] | None:
        """Proxy: replace the images of a request that asks for it.

        Raises:
            ProxyException: the request cannot be served. LiteLLM answers with its status and message.
        """
        del cache  # the proxy's auth cache, which never holds analyses
        if call_type in WIRE_FORMATS and self._is_deferred(data, user_api_key_dict):
            return data
        await take_turn()
        try:
            with containment.fail_closed_admission(data, WIRE_FORMATS.get(call_type), self.config):
                if call_type not in WIRE_FORMATS:
                    admission.check_route(data, call_type, self.config, user_api_key_dict)
                    is_routed = call_type not in _FORWARDED
                    await admission.check_suffixed_name(data, self.config, user_api_key_dict, is_routed=is_routed)
                    return None
                requested = await admission.admit(data, self.config, user_api_key_dict)
                if isinstance(requested, DeferredAnalysis):
                    requested.remember()
                elif requested is not None:
                    self._check_alone()
                    update_state(metadata_of(data), requested=requested)
        except RequestError as error:
            raise http_errors.http_error(error, call_type) from None
        if not self._late_hook.is_in_place:
            await self._analyse(user_api_key_dict, data, call_type)
        return data

    def _is_deferred(self, data: dict[str, Any], caller: UserAPIKeyAuth) -> bool:
        """Leave the decision to the deployment if the request does not ask. Returns whether it does not."""
        with _PREPARING_A_REQUEST:
            if not admission.may_ask(data, self.config):
                admission.defer(data, self.config, caller).remember()
                return True
        return False

    async def _analyse(self, caller: UserAPIKeyAuth, data: dict[str, Any], call_type: str) -> None:
        """Replace the images of a request that asks for it, or whose deployments need it.

        LiteLLM's limits come first if the late hook is in place.
        """
        if call_type not in WIRE_FORMATS:
            return
        wire_format, run_guardrails = WIRE_FORMATS[call_type], None
        state = load_state(data)
        requested = state.requested
        if requested is not None:
            pop_requested(data)
        elif isinstance(state.deferred, DeferredAnalysis):
            with _DECIDING:
                requested = self._auto_mode.before_routing(data, wire_format, state.deferred)
        if not isinstance(requested, RequestedAnalysis):
            return
        try:
            with containment.contained_analysis(data, wire_format, requested.context):
                if await self._replace_attachments(data, wire_format, requested, call_type):
                    run_guardrails = rerun_guardrails(data, caller, call_type)
        except RequestError as error:
            raise http_errors.http_error(error, call_type) from None
        if run_guardrails is not None:
            await run_guardrails()

    async def _replace_attachments(
        self, data: dict[str, Any], wire_format: WireFormat, requested: RequestedAnalysis, call_type: str
    ) -> bool:
        """Replace the images and files of a request. Returns whether there are any."""
        context = requested.context
        team_id = context.caller.team_id
        accepted = partial(vision_support.accepted_files_of_group, context.router, data.get("model"), team_id)
        found = await self._analyzer.find(data, wire_format, context.config, accepted, checks_shape=requested.is_asked)
        if not requested.is_asked:
            if not found:
                return False
            self._check_alone()
            await self._analyzer.check_shape(data, wire_format, context.config)
        if found.images:
            context = await admission.check_vision(requested, data, self.config)
        check_budget = partial(budgets.check_vision, context, data, again=True)
        await connections.cancel_on_disconnect(
            self._analyzer.replace(data, found, wire_format, context, check_budget=check_budget)
        )
        with containment.log_and_continue("attaching the cost"):
            total.attach_cost(metadata_of(data), call_type, is_shown=False)
        return bool(found)

    async def async_filter_deployments(
        self,
        model: str,
        healthy_deployments: list[Any],
        messages: list[Any] | None,
        request_kwargs: dict[str, Any] | None = None,
        parent_otel_span: Any = None,
    ) -> list[Any]:
        """Router: keep a vision call within the region of its caller. Other calls are not affected."""
        del model, messages, request_kwargs, parent_otel_span
        vision_call = current_vision_call()
        return healthy_deployments if vision_call is None else vision_call.allowed(healthy_deployments)

    async def async_pre_call_deployment_hook(
        self, kwargs: dict[str, Any], call_type: CallTypes | None
    ) -> dict[str, Any] | None:
        """SDK: replace the images of a call that asks for it or needs it. The caller's objects are not changed.

        On a proxy, a request that asks for analysis has no images any more. ``mode: auto`` may apply to the others.
        A generateContent call gets its deployment's price.

        Raises:
            RequestError: the call cannot be served.
            ProxyException: the same on a proxy.
        """
        name, request, run_guardrails = unserved.call_type_of(call_type, kwargs), None, None
        vision_call = current_vision_call()
        if vision_call is not None:
            vision_call.begin_attempt(kwargs)
            return None
        waiting = deferred_analysis(kwargs)
        if waiting is None:
            with _CHECKING_A_ROUTE:
                if routing.running_router() is None:  # a program. A proxy checks requests before routing
                    unserved.check_call(kwargs, name, self.config, self._library.router)
        with _PREPARING_A_CALL:
            if waiting is None:
                request = await self._library.before_call(kwargs, name)
            elif name in WIRE_FORMATS and self._auto_mode.may_apply(kwargs, waiting):
                request, run_guardrails = await self._before_attempt(kwargs, name, waiting)
        if run_guardrails is not None:
            await run_guardrails()
        return self._filled_buckets(kwargs if request is None else request, name) or request

    def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:
        """Router and SDK: note that a provider gets a vision call, so that its failure is not LiteLLM's own."""
        del model, messages, kwargs
        vision_call = current_vision_call()
        if vision_call is not None:
            vision_call.was_sent = True

    async def _before_attempt(self, kwargs: dict[str, Any], name: str, waiting: DeferredAnalysis) -> Attempt:
        try:
            return await self._auto_mode.before_call(kwargs, name, WIRE_FORMATS[name], waiting)
        except RequestError as error:
            raise http_errors.attempt_error(error, name) from None

    @staticmethod
    def _filled_buckets(kwargs: dict[str, Any], name: str) -> dict[str, Any] | None:
        if WIRE_FORMATS.get(name) is not generate_content:
            return None
        with containment.log_and_continue("completing the metadata of a call"):
            if load_state(kwargs).report is not None:
                return metadata.filled_buckets(kwargs)
        return None

    async def async_post_call_success_deployment_hook(
        self, request_data: dict[str, Any], response: Any, call_type: CallTypes | None
    ) -> None:
        """Save the cost of the call. SDK: write the total to the response's hidden parameters."""
        with _SAVING_A_COST:
            if call_type is not None and load_state(request_data).cost is not None:
                library.after_call(request_data, response, call_type.value)

    async def async_logging_hook(
        self, kwargs: dict[str, Any], result: Any, call_type: str
    ) -> tuple[dict[str, Any], Any]:
        """SDK: let loggers see the price of the call itself."""
        return self.logging_hook(kwargs, result, call_type)

    def logging_hook(self, kwargs: dict[str, Any], result: Any, call_type: str) -> tuple[dict[str, Any], Any]:
        """SDK: the same for loggers that run in a thread."""
        del call_type
        with _TELLING_LOGGERS:
            total.log_base_cost(kwargs)
        return kwargs, result

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """SDK: save the cost of a stream."""
        del response_obj, start_time, end_time
        with _SAVING_A_COST:
            total.finish(kwargs)

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: UserAPIKeyAuth,
        traceback_str: str | None = None,
    ) -> None:
        """Proxy: the response headers of an error. On ``/v1/messages`` LiteLLM asks no other hook for them."""
        del user_api_key_dict, traceback_str
        with containment.log_and_continue("writing the response headers of an error"):
            report = load_state(request_data).report
            headers = {} if report is None else summary.response_headers(report, base_cost=None)
            connections.add_headers(headers | http_errors.error_headers(original_exception))

    async def async_post_call_response_headers_hook(
        self,
        data: dict[str, Any],
        user_api_key_dict: UserAPIKeyAuth,
        response: Any,
        request_headers: dict[str, str] | None = None,
        litellm_call_info: dict[str, Any] | None = None,
    ) -> dict[str, str] | None:
        """Proxy: response headers with vision model, number of images, duration and cost."""
        with _WRITING_HEADERS:
            report = load_state(data).report
            if report is not None:
                return summary.response_headers(report, total.get_base_cost(data, response))
        return None
