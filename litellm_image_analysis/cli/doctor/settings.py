"""Checks of the file and of the settings under ``callback_settings.image_analysis``."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from litellm_image_analysis.cli.doctor.finding import Finding, ok, problem, warning
from litellm_image_analysis.cli.gateway import read_settings, settings_section
from litellm_image_analysis.config import SETTINGS_PATH, CacheConfig, ImageAnalysisConfig
from litellm_image_analysis.errors import ConfigError
from litellm_image_analysis.proxy.startup import misplaced_settings

if TYPE_CHECKING:
    from litellm_image_analysis.cli.gateway_config import GatewayConfig

_MAPPINGS = ("general_settings", "litellm_settings", "router_settings", "callback_settings", "environment_variables")
"""Sections of a config that are mappings."""


def check_file(config: GatewayConfig) -> list[Finding]:
    """Find keys that stand twice, and references to variables that are not set."""
    found = [
        problem("config", f"{where} stands twice. YAML keeps the last one only", where, f"Merge both {where}")
        for where in config.repeated
    ]
    found += [
        problem("config", f"{name} is no mapping, so none of it is read", name, "Write keys with values")
        for name in _MAPPINGS
        if not isinstance(config.values.get(name), (Mapping, NoneType))
    ]
    if not isinstance(config.values.get("model_list"), (list, NoneType)):
        fix = "Begin each model with a hyphen: - model_name: ..."
        found.append(problem("config", "model_list is no list, so no model is served", "model_list", fix))
    for each in config.unset:
        what, fix = f"the variable {each.name} is not set", f"Set {each.name} in the environment of the proxy"
        if config.has_secret_manager:
            more = "LiteLLM also looks in the secret manager, which doctor does not ask"
            found.append(warning("environment", f"{what}. {more}", each.where, f"{fix}, or in the secret manager"))
        else:
            found.append(problem("environment", what, each.where, fix))
    if not any(each.check == "config" for each in found):
        found.append(ok("config", f"{config.path} was read"))
    if not config.unset:
        found.append(ok("environment", "all variables that the config refers to are set"))
    return found


def check_settings(config: GatewayConfig) -> tuple[ImageAnalysisConfig | None, list[Finding]]:
    """Read the settings. The findings name each wrong one, and what would be right.

    Returns:
        The settings, or ``None`` if one is wrong. And the findings.
    """
    section = settings_section(config)
    found = []
    misplaced = misplaced_settings(config.values, has_settings=section is not None)
    if misplaced is not None:
        found.append(
            problem(
                "settings-place",
                misplaced,
                None,
                "Move them to callback_settings: {image_analysis: {...}}, at the top level of the config",
            )
        )
    try:
        settings = read_settings(config)
    except ConfigError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        return None, [*found, *(_wrong_setting(line) for line in lines if line.startswith(SETTINGS_PATH))]
    what = "all settings are valid" if section is not None else "all settings have their defaults"
    return settings, [*found, ok("settings", what, SETTINGS_PATH)]


def _wrong_setting(line: str) -> Finding:
    """Make a finding from a line of the error: the path, what is wrong, and what would be right."""
    where, _, text = line.partition(": ")
    what, _, right = text.partition("; ")
    closest = _closest_value(where, what)
    fix = f"{right[:1].upper()}{right[1:]}" if right else "See docs/settings.md"
    return problem("settings", what, where, f"Did you mean {closest}? {fix}" if closest else fix)


def _closest_value(where: str, what: str) -> str | None:
    """Return the valid value that a misspelt one resembles, if the setting has a fixed set of values."""
    is_cache = where.startswith(f"{SETTINGS_PATH}.cache.")
    group: type[CacheConfig | ImageAnalysisConfig] = CacheConfig if is_cache else ImageAnalysisConfig
    field = group.model_fields.get(where.rpartition(".")[2])
    given = what.removeprefix("got ").strip("'")
    close = difflib.get_close_matches(given, _literals(field.annotation) if field else [], n=1)
    return close[0] if close else None


def _literals(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [value for value in get_args(annotation) if isinstance(value, str)]
    return [value for each in get_args(annotation) for value in _literals(each)]
