"""Checks of the callback: that LiteLLM finds it, and calls it once."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

import litellm
from litellm.proxy.types_utils.utils import get_instance_fn

from litellm_image_analysis.cli.doctor.finding import Finding, ok, problem, skipped, warning
from litellm_image_analysis.errors import ConfigError
from litellm_image_analysis.plugin import ImageAnalysis

if TYPE_CHECKING:
    from litellm_image_analysis.cli.gateway_config import GatewayConfig

CALLBACK = "litellm_image_analysis.image_analysis"
LIST = "litellm_settings.callbacks"
_PACKAGE = CALLBACK.partition(".")[0]
_OTHER_LISTS = ("success_callback", "failure_callback", "audit_log_callbacks", "input_callback", "service_callback")
_OTHER_SECTIONS = ("", "general_settings", "router_settings", "callback_settings")
_WRITE = f'Write {LIST}: ["{CALLBACK}"]'


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a list of callbacks.

    Attributes:
        name: the name in the config.
        where: its YAML path.
        instance: the object that LiteLLM finds under the name. ``None`` if it was not loaded.
        error: the reason why it could not be loaded.
    """

    name: str
    where: str
    instance: object = None
    error: str | None = None

    @property
    def is_ours(self) -> bool:
        """Whether the entry names this package, also in another spelling, or is an instance of the callback."""
        return isinstance(self.instance, ImageAnalysis) or _resembles_ours(self.name)


def load_callbacks(config: GatewayConfig) -> tuple[list[Entry], list[object]]:
    """Load the callbacks of the config as LiteLLM does. This runs the code of modules beside the config.

    Another name of this package is not loaded.

    Returns:
        The entries of ``litellm_settings.callbacks``. And all instances of the callback that were made: those of the
        entries, and those that modules have registered in ``litellm.callbacks``.
    """
    litellm.callback_settings = dict(config.section("callback_settings"))
    entries = [_loaded(name, where, config) for name, where in _names(config.section("litellm_settings"), "callbacks")]
    sys.stdout.flush()
    made = [*(entry.instance for entry in entries), *litellm.callbacks]
    instances = {id(each): each for each in made if isinstance(each, ImageAnalysis)}
    return entries, list(instances.values())


def check_callbacks(config: GatewayConfig, entries: Sequence[Entry], instances: Sequence[object]) -> list[Finding]:
    """Check that LiteLLM calls the callback once for a request.

    Args:
        config: the config.
        entries: the entries of ``litellm_settings.callbacks``.
        instances: all instances of the callback.
    """
    ours = [entry for entry in entries if entry.is_ours]
    found = [_check_entry(entry) for entry in ours]
    found += [_not_loaded(entry) for entry in entries if entry.error is not None and not entry.is_ours]
    elsewhere = list(_in_other_lists(config))
    if not ours and not elsewhere and not instances:
        found.append(problem("callback", f"no callback names {CALLBACK}, so no request is analysed", LIST, _WRITE))
    found += [
        problem(
            "callback-list",
            f"{name} is in a list that LiteLLM does not read before a request, so no request is analysed by it",
            where,
            f"Remove it from {where}. {_WRITE}",
        )
        for name, where in elsewhere
    ]
    if len(instances) < 2:
        found += _named_twice(ours)
    else:
        found.append(_several_instances(len(instances), ours))
    return found


def _check_entry(entry: Entry) -> Finding:
    if isinstance(entry.instance, ImageAnalysis):
        return ok("callback", f"{entry.name} is the callback", entry.where)
    if entry.name == CALLBACK:
        return problem(
            "callback",
            f"LiteLLM cannot load {CALLBACK}: {entry.error}",
            entry.where,
            "Install this package with the Python that runs litellm. LiteLLM before 1.94 also needs a file"
            " litellm_image_analysis.py beside the config: from litellm_image_analysis import image_analysis",
        )
    return problem("callback", f"{entry.name} is not the callback of this package", entry.where, f"Write {CALLBACK}")


def _not_loaded(entry: Entry) -> Finding:
    return warning(
        "other-callbacks",
        f"{entry.name} could not be loaded here: {entry.error}. The proxy does not start if it cannot load it, either",
        entry.where,
        "Correct the name, or run doctor in the environment of the proxy",
    )


def _named_twice(ours: Sequence[Entry]) -> Iterator[Finding]:
    if len(ours) > 1:
        places = " and ".join(entry.where for entry in ours)
        yield problem(
            "callback", f"the callback stands {len(ours)} times: {places}", LIST, f"Keep {ours[0].where} only"
        )


def _several_instances(count: int, ours: Sequence[Entry]) -> Finding:
    places = ", ".join(entry.where for entry in ours) or "modules of callbacks"
    return problem(
        "instances",
        f"there are {count} instances of ImageAnalysis ({places}), so requests that ask for analysis get an error",
        LIST,
        f"Keep {CALLBACK} only. Remove ImageAnalysis(...) from other callback modules, and put its settings into"
        " callback_settings.image_analysis",
    )


def unresolved(entries: Sequence[Entry]) -> list[Finding]:
    """Return the findings while the settings are wrong, so that the callback cannot be made."""
    named = [entry for entry in entries if entry.is_ours]
    return [_check_entry(entry) for entry in named if entry.name != CALLBACK] or [
        skipped("callback", "the callback cannot be made before the settings are corrected", LIST)
    ]


def _in_other_lists(config: GatewayConfig) -> Iterator[tuple[str, str]]:
    for key in _OTHER_LISTS:
        yield from _ours(_names(config.section("litellm_settings"), key))
    for section in _OTHER_SECTIONS:
        values = config.section(section) if section else config.values
        for key in ("callbacks", *_OTHER_LISTS):
            yield from _ours(_names(values, key, section))


def _ours(names: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    return (each for each in names if _resembles_ours(each[0]))


def _names(section: Mapping[str, Any], key: str, path: str = "litellm_settings") -> Iterator[tuple[str, str]]:
    """Return the names in a list of callbacks with their YAML paths. LiteLLM accepts a single name, too."""
    found, where = section.get(key), f"{path}.{key}" if path else key
    if isinstance(found, str):
        yield found, where
    for index, name in enumerate(found if isinstance(found, list) else []):
        if isinstance(name, str):
            yield name, f"{where}[{index}]"


def _resembles_ours(name: str) -> bool:
    package = name.strip().partition(".")[0].replace("-", "_").lower()
    return bool(difflib.get_close_matches(package, [_PACKAGE], cutoff=0.85)) or package == "image_analysis"


def _loaded(name: str, where: str, config: GatewayConfig) -> Entry:
    if "." not in name or (name != CALLBACK and _resembles_ours(name)):
        return Entry(name, where)
    if name.startswith(("s3://", "gcs://")):
        return Entry(name, where, error="doctor does not load modules from other hosts")
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            return Entry(name, where, get_instance_fn(value=name, config_file_path=str(config.path)))
    except ConfigError as error:
        return Entry(name, where, error=str(error))
    except Exception as error:  # noqa: BLE001 - the module of an operator may raise anything
        return Entry(name, where, error=_cause(error))


def _cause(error: BaseException) -> str:
    """Return the kind of an error, and of the one that it comes from. Messages may quote secrets."""
    kinds = [type(error).__name__]
    if error.__cause__ is not None:
        kinds.append(type(error.__cause__).__name__)
    return ", from ".join(kinds)
