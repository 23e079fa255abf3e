"""A proxy's config file, read by LiteLLM's rules.

LiteLLM's own loader is not used, because it starts what the config describes: caches, secret managers, local servers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_REFERENCE = "os.environ/"
_BOOLEANS = {"true": True, "false": False}


class ConfigFileError(Exception):
    """A config file cannot be read. The message says why."""


@dataclass(frozen=True, slots=True)
class UnsetReference:
    """A reference to a variable of the environment that is not set.

    Attributes:
        where: its YAML path.
        name: the name of the variable.
    """

    where: str
    name: str


@dataclass(frozen=True)
class GatewayConfig:
    """A proxy's config.

    Attributes:
        path: the file.
        written: its values as they are written, with those of included files.
        values: the same with references to the environment replaced by their values.
        unset: the references whose variables are not set. Their value is ``None``.
        repeated: YAML paths of keys that stand twice in a file. YAML keeps the last one only.
    """

    path: Path
    written: Mapping[str, Any] = field(repr=False)
    values: Mapping[str, Any] = field(repr=False)
    unset: tuple[UnsetReference, ...] = ()
    repeated: tuple[str, ...] = ()

    def section(self, name: str) -> Mapping[str, Any]:
        """Return a section at the top level. Empty if there is none, or if it is not a mapping."""
        found = self.values.get(name)
        return found if isinstance(found, Mapping) else {}

    @property
    def deployments(self) -> list[tuple[str, Mapping[str, Any]]]:
        """The YAML path and the values of each entry of ``model_list`` that is a mapping."""
        found = self.values.get("model_list")
        entries = enumerate(found if isinstance(found, list) else [])
        return [(f"model_list[{index}]", entry) for index, entry in entries if isinstance(entry, Mapping)]

    @property
    def has_secret_manager(self) -> bool:
        """Whether LiteLLM would also look for references in a secret manager, which this package does not ask."""
        return bool(self.section("general_settings").get("key_management_system"))


def read_config(path: Path) -> GatewayConfig:
    """Read a proxy's config and the files that it includes.

    Raises:
        ConfigFileError: a file is missing, is no YAML, or is not a mapping.
    """
    repeated: list[str] = []
    written = _with_includes(path, repeated)
    unset: list[UnsetReference] = []
    values = {key: _resolved(value, str(key), unset) for key, value in written.items()}
    return GatewayConfig(path, written, values, tuple(unset), tuple(repeated))


def apply_environment(config: GatewayConfig) -> None:
    """Set the variables of the config's section ``environment_variables`` in this process, as LiteLLM does.

    Raises:
        ConfigFileError: the system does not accept a name or a value.
    """
    for name, value in config.section("environment_variables").items():
        if value is not None:
            try:
                os.environ[str(name)] = str(value)
            except ValueError:
                problem = "the name has a =, or the name or value has a zero byte"
                raise ConfigFileError(f"environment_variables.{name}: {problem}") from None


def _with_includes(path: Path, repeated: list[str]) -> dict[str, Any]:
    config = _read_file(path, repeated)
    pending, known = _includes(config, path), {path.resolve()}
    while pending:
        name, declared_in = pending.pop(0)
        included = declared_in.parent / name
        if not included.exists():
            included = path.parent / name  # the rule of older versions
        if not included.exists():
            raise ConfigFileError(f"{declared_in}: include names {name}, which does not exist")
        if included.resolve() in known:
            continue
        known.add(included.resolve())
        values = _read_file(included, repeated)
        pending += _includes(values, included)
        for key, value in values.items():
            own = config.get(key)
            config[key] = [*own, *value] if isinstance(own, list) and isinstance(value, list) else value
    config.pop("include", None)
    return config


def _includes(config: dict[str, Any], path: Path) -> list[tuple[str, Path]]:
    names = config.pop("include", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigFileError(f"{path}: include must be a list of file names")
    return [(name, path) for name in names]


def _read_file(path: Path, repeated: list[str]) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, yaml.SafeLoader)
        config = yaml.safe_load(text)
        twice = list(_repeated(node, ""))
    except OSError as error:
        raise ConfigFileError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark is not None else ""
        reason = getattr(error, "problem", None) or getattr(error, "reason", None)
        what = "no UTF-8" if isinstance(error, UnicodeDecodeError) else reason
        raise ConfigFileError(f"{path}: no valid YAML{line}: {what}") from None
    except RecursionError:
        raise ConfigFileError(f"{path}: it is nested too deeply, or an anchor (&) contains itself") from None
    except ValueError as error:  # a date such as 2026-13-45
        raise ConfigFileError(f"{path}: a value is not valid: {error}. Write dates in quotes") from None
    if not isinstance(config, dict):
        raise ConfigFileError(f"{path}: the file must hold a mapping, such as model_list: [...]")
    repeated += twice
    return {str(key): value for key, value in config.items()}


def _repeated(node: Any, path: str) -> Iterator[str]:
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _repeated(item, f"{path}[{index}]")
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        name = str(key.value)
        where = f"{path}.{name}" if path else name
        if name in seen and key.tag != "tag:yaml.org,2002:merge":
            yield where
        seen.add(name)
        yield from _repeated(value, where)


def _resolved(value: Any, where: str, unset: list[UnsetReference]) -> Any:
    """Replace references in mappings, and in the mappings of lists. A reference that is itself in a list stays."""
    if isinstance(value, dict):
        return {key: _resolved(item, f"{where}.{key}", unset) for key, item in value.items()}
    if isinstance(value, list):
        return [
            _resolved(item, f"{where}[{index}]", unset) if isinstance(item, dict) else item
            for index, item in enumerate(value)
        ]
    if not isinstance(value, str) or not value.startswith(_REFERENCE):
        return value
    name = value.removeprefix(_REFERENCE)
    found = os.environ.get(name)
    if found is None:
        unset.append(UnsetReference(where, name))
        return None
    return _BOOLEANS.get(found.strip().lower(), found)
