"""Features of the installed LiteLLM. Tests that need a missing one are skipped, with its name as the reason."""

from __future__ import annotations

import inspect
from functools import cache
from importlib.util import find_spec

import pytest
from litellm import constants
from litellm._redis import get_redis_async_client
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import LiteLLM_OrganizationTable, ProxyException, UserAPIKeyAuth
from litellm.proxy.anthropic_endpoints import endpoints as anthropic_endpoints
from litellm.proxy.auth import auth_checks
from litellm.proxy.common_request_processing import ProxyBaseLLMRequestProcessing
from litellm.proxy.google_endpoints import endpoints as google_endpoints
from litellm.proxy.types_utils.utils import get_instance_fn
from litellm.proxy.utils import ProxyLogging
from litellm.router import Router
from redis.asyncio.retry import Retry
from support.sdk_features import needs

from litellm_image_analysis.compat import auth_check, view_of

needs_guardrails_only = needs(
    "run of guardrails alone, so limits come after vision calls",
    there="guardrails_only" in inspect.signature(ProxyLogging.pre_call_hook).parameters,
)
needs_shutdown_grace = needs(
    "wait for requests in flight at shutdown", there=find_spec("litellm.proxy.shutdown") is not None
)
needs_routing_groups = needs("routing groups that are called by name", there=hasattr(Router, "get_routing_group"))
needs_team_names = needs(
    "list of the names teams have for their models", there=hasattr(Router(model_list=[]), "team_public_model_names")
)
needs_routing_tags = needs(
    "tags for routing beside those for the log", there=hasattr(constants, "ROUTING_REQUEST_TAGS_METADATA_KEY")
)
needs_uncounted_tokens = needs(
    "calls whose tokens it leaves out of limits", there=hasattr(constants, "INTERNAL_CALL_ORIGIN_METADATA_KEY")
)
needs_team_model_budgets = needs(
    "team's budget for a model", there="team_model_max_budget" in UserAPIKeyAuth.model_fields
)
needs_user_model_budgets = needs(
    "user's budget for a model", there="user_model_max_budget" in UserAPIKeyAuth.model_fields
)
needs_budget_fallbacks = needs(
    "model to fall back to when a budget is used up", there="budget_fallbacks" in UserAPIKeyAuth.model_fields
)
needs_key_aliases = needs(
    "access check that knows a key's aliases",
    there="key_model_aliases" in inspect.signature(auth_checks.can_user_call_model).parameters,
)
needs_project_counters = needs(
    "counter of a project's spend",
    there="get_current_spend" in auth_check("project_max_budget_check").__code__.co_names,
)
needs_anthropic_errors = needs(
    "error of Anthropic's shape",
    there=hasattr(anthropic_endpoints, "AnthropicErrorResponse")
    or find_spec("litellm.proxy.common_utils.anthropic_error_payload") is not None,  # in LiteLLM 1.110 and newer
)
needs_content_enforcers = needs(
    "callback that enforces rules on content", there=hasattr(CustomLogger, "enforces_request_content")
)
SENDS_ERRORS_OF_HOOKS = "isinstance(e, ProxyException)" in inspect.getsource(
    ProxyBaseLLMRequestProcessing._handle_llm_api_exception
)
"""Whether LiteLLM answers with the error of a hook. LiteLLM 1.84 changes it."""
WRITES_GOOGLE_ERRORS = hasattr(google_endpoints, "_google_error_response")
needs_google_errors = needs("error of Google's shape", there=WRITES_GOOGLE_ERRORS)


def _forgets_deleted_models() -> bool:
    params = {"model": "openai/unheard-of", "api_key": "none"}
    router = Router(model_list=[{"model_name": "gone", "litellm_params": params, "model_info": {"id": "gone"}}])
    router.delete_deployment("gone")
    return "gone" not in view_of(router).groups()


def _reads_numbers_of_redis() -> bool:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REDIS_HOST", "127.0.0.1")
        patch.setenv("REDIS_SOCKET_CONNECT_TIMEOUT", "1.5")
        try:
            client = get_redis_async_client()
        except ValueError:  # LiteLLM 1.84 with redis-py 6 or newer does not see REDIS_HOST
            return False
    return client.get_connection_kwargs().get("socket_connect_timeout") == 1.5


@cache
def loads_callbacks_from_packages() -> bool:
    """Whether a config may name a callback of an installed package. Otherwise it must be beside the config."""
    try:
        get_instance_fn("json.dumps", config_file_path="/no-such-folder/config.yaml")
    except ImportError:
        return False
    return True


@cache
def denied_status() -> int:
    """The HTTP status with which LiteLLM refuses a model that the caller may not call."""
    nothing = LiteLLM_OrganizationTable(
        organization_id="o", budget_id="b", models=["other"], created_by="admin", updated_by="admin"
    )
    with pytest.raises(ProxyException) as denied:
        auth_checks.can_org_access_model(model="model", org_object=nothing, llm_router=None)
    return int(denied.value.code)


needs_forgotten_models = needs("way to forget a deleted model's name", there=_forgets_deleted_models())
needs_numbers_of_redis = needs(
    "numbers, but text, from Redis settings in the environment", there=_reads_numbers_of_redis()
)
needs_callbacks_from_packages = needs("callbacks from packages", there=loads_callbacks_from_packages())
needs_redis_that_tries_again = pytest.mark.skipif(
    not hasattr(Retry, "get_retries"), reason="this redis-py does not try again on a connection that went stale"
)
