"""The dashboard and the alert rules of the cluster example: their expressions, and the plugin's metrics in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CLUSTER = Path(__file__).parents[2] / "examples" / "cluster"
DASHBOARD = CLUSTER / "grafana" / "dashboards" / "image-analysis.json"
ALERTS = CLUSTER / "alerts.yml"
_METRIC = re.compile(r"\blitellm_image_analysis_\w+")


@dataclass(frozen=True)
class Panel:
    """A panel of the dashboard.

    Attributes:
        title: its title.
        kind: Grafana's type of the panel.
        unit: Grafana's unit of its values.
        x, y, width, height: its place in Grafana's grid of 24 columns.
        expressions: its expressions with their legends.
        is_stacked: whether its values are stacked.
    """

    title: str
    kind: str
    unit: str
    x: int
    y: int
    width: int
    height: int
    expressions: list[tuple[str, str]]
    is_stacked: bool


def loaded_dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return loaded


def panels() -> list[Panel]:
    return list(_panels())


def _panels() -> Iterator[Panel]:
    for panel in loaded_dashboard()["panels"]:
        place, defaults = panel["gridPos"], panel["fieldConfig"]["defaults"]
        expressions = [(target["expr"], target["legendFormat"]) for target in panel["targets"]]
        is_stacked = defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal"
        rectangle = (place["x"], place["y"], place["w"], place["h"])
        yield Panel(panel["title"], panel["type"], defaults["unit"], *rectangle, expressions, is_stacked)


def filled(expression: str, *, rate: str, total: str) -> str:
    """An expression with values for Grafana's variables: all vision models, and these times."""
    variables = {"$vision_model": ".*", "$__rate_interval": rate, "$__range": total}
    for name, value in variables.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


def alerts() -> dict[str, dict[str, Any]]:
    """The alert rules by name."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def metrics_in(expression: str) -> set[str]:
    """The plugin's metrics in an expression."""
    return set(_METRIC.findall(expression))
