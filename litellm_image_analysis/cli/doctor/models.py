"""Checks of the models: the vision model and its fallbacks, keys of providers, names that end in the suffix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import litellm

from litellm_image_analysis.cli.doctor.finding import Finding, ok, problem, warning
from litellm_image_analysis.compat import view_of
from litellm_image_analysis.config import SETTINGS_PATH
from litellm_image_analysis.engine import routing, vision_support
from litellm_image_analysis.errors import ConfigError
from litellm_image_analysis.proxy import startup
from litellm_image_analysis.proxy.aliases import check_suffix
from litellm_image_analysis.proxy.vision_choice import unserved_default

if TYPE_CHECKING:
    from litellm.router import Router

    from litellm_image_analysis.cli.gateway_config import GatewayConfig
    from litellm_image_analysis.config import ImageAnalysisConfig

_OWN_CREDENTIALS = ("litellm_credential_name", "azure_ad_token", "tenant_id", "client_id", "vertex_credentials")
"""Parameters of a deployment that take the place of a key in the environment."""


def check_models(config: GatewayConfig, settings: ImageAnalysisConfig, router: Router) -> list[Finding]:
    """Check the deployments, the vision models and their fallbacks.

    Args:
        config: the config.
        settings: the settings of image analysis.
        router: a Router with the models of the config.
    """
    found = [*_unknown_deployments(config, router), *_missing_keys(config)]
    found += _check_vision_model(settings.vision_model, f"{SETTINGS_PATH}.vision_model", config, router)
    for index, name in enumerate(settings.allowed_vision_models or ()):
        if name != settings.vision_model:
            found += _check_vision_model(name, f"{SETTINGS_PATH}.allowed_vision_models[{index}]", config, router)
    return [*found, *_check_fallbacks(settings.vision_model, router)]


def check_names(settings: ImageAnalysisConfig, router: Router) -> list[Finding]:
    """Check that names with the suffix mean what they should.

    Args:
        settings: the settings of image analysis.
        router: a Router with the models of the config.
    """
    suffix, where = settings.suffix, f"{SETTINGS_PATH}.suffix"
    if suffix is None:
        return [ok("suffix", "there is no suffix: requests ask with ocr_model", where)]
    other = "-vision" if suffix == "-ocr" else "-ocr"
    found = [
        problem(
            "suffix",
            f"the model {name} has the suffix {suffix} in its own name, so a request for it does not ask for analysis",
            where,
            f"Rename the model {name}, or set another suffix, such as suffix: {other}",
        )
        for name in startup.suffixed_models(router, suffix, settings.vision_model)
    ]
    try:
        if settings.advertise:
            check_suffix(suffix)
    except ConfigError as error:
        found.append(problem("suffix", str(error), where, "Set suffix: null, or install a LiteLLM of docs/versions.md"))
    return found or [ok("suffix", f"<model>{suffix} asks for image analysis", where)]


def _unknown_deployments(config: GatewayConfig, router: Router) -> Iterator[Finding]:
    for where, entry in config.deployments:
        name = entry.get("model_name")
        if not isinstance(name, str) or not view_of(router).deployments(name):  # it keeps the name of such a group
            yield problem(
                "models",
                f"LiteLLM does not accept the deployment {name!r}, and leaves it out",
                where,
                "Give it a model_name, and in litellm_params a model such as openai/gpt-4o-mini",
            )


def _missing_keys(config: GatewayConfig) -> list[Finding]:
    unset = {each.where.removesuffix(".litellm_params.api_key") for each in config.unset}
    found = []
    for where, entry in config.deployments:
        params = entry.get("litellm_params")
        if where in unset or not isinstance(params, Mapping):  # an unset reference has its own finding
            continue
        missing = _missing_variables(params)
        if missing:
            names = " and ".join(missing)
            is_key = all(name.endswith("_API_KEY") for name in missing)
            what = f"the deployment {entry.get('model_name')} has no API key, and {names} is not set"
            fix = f"Set {names} in the environment of the proxy, or api_key in {where}.litellm_params"
            found.append((problem if is_key else warning)("api-keys", what, f"{where}.litellm_params.api_key", fix))
    return found or [ok("api-keys", "no other deployment lacks a key of its provider", "model_list")]


def _missing_variables(params: Mapping[str, Any]) -> list[str]:
    model = params.get("model")
    if not isinstance(model, str) or params.get("api_key") or any(params.get(name) for name in _OWN_CREDENTIALS):
        return []
    try:
        answer = litellm.validate_environment(model=model, api_base=params.get("api_base"))
    except Exception:  # noqa: BLE001 - a model that LiteLLM does not know. It has a finding of its own
        return []
    return [] if answer.get("keys_in_environment") else sorted(map(str, answer.get("missing_keys") or ()))


def _check_vision_model(name: str, where: str, config: GatewayConfig, router: Router) -> Iterator[Finding]:
    if not routing.serves(router, name, None):
        what, _, fix = unserved_default(name, router).partition(": ")[2].partition(". ")
        if config.section("general_settings").get("store_model_in_db") is True:
            yield warning(
                "vision-model",
                f"{what} from its config. It may be in the database, which doctor does not read",
                where,
                f"Look for it in the proxy's /v1/model/info. {fix}",
            )
        else:
            yield problem("vision-model", what, where, fix)
        return
    yield ok("vision-model", f"{name} is served", where)
    yield _check_sight(name, where, router)


def _check_sight(name: str, where: str, router: Router) -> Finding:
    sight = [vision_support.accepts_images(model, info) for model, info in routing.deployments(router, name, None)]
    if False in sight:
        choices = [each for each in routing.vision_groups(router, None) if each != name]
        instead = f"Set it to one of: {', '.join(choices)}" if choices else "Add a model that accepts images"
        return problem(
            "vision-model-sees",
            f"{name} is known not to accept images",
            where,
            f"{instead}. If it does accept images, set supports_vision: true in the model_info of its deployment",
        )
    if None in sight:
        return warning(
            "vision-model-sees",
            f"it is not known whether {name} accepts images",
            where,
            "Set supports_vision: true in the model_info of its deployment, or try it with doctor --look",
        )
    return ok("vision-model-sees", f"{name} accepts images", where)


def _check_fallbacks(name: str, router: Router) -> Iterator[Finding]:
    targets = dict.fromkeys(_targets(name, view_of(router).all_fallbacks()))
    for target in targets:
        sight = [
            vision_support.accepts_images(model, info) for model, info in routing.deployments(router, target, None)
        ]
        if not routing.serves(router, target, None):
            what, fix = "no deployment serves it", f"Add a deployment with model_name: {target}, or remove the fallback"
        elif False in sight:
            what, fix = "it is known not to accept images", "Name a model that accepts images, or remove the fallback"
        else:
            continue
        yield problem("vision-model-fallbacks", f"{target} is a fallback of {name}, and {what}", "router_settings", fix)
        return
    listed = f"fallbacks of {name}: {', '.join(targets)}" if targets else f"{name} has no fallback"
    yield ok("vision-model-fallbacks", listed, "router_settings")


def _targets(name: str, fallbacks: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for each in fallbacks:
        for key in (name, "*"):
            found = each.get(key)
            listed = found if isinstance(found, list) else []
            yield from (target for target in listed if isinstance(target, str) and target != name)
