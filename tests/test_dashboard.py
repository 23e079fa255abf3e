"""The dashboard and the alert rules of the cluster example, and the list of metrics in the documentation."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.dashboard import ALERTS, CLUSTER, DASHBOARD, alerts, filled, loaded_dashboard, metrics_in, panels
from support.docs import expect_table
from support.metrics import needs_prometheus

from litellm_image_analysis.analysis.outcomes import FailureReason
from litellm_image_analysis.vision import monitoring
from litellm_image_analysis.vision.gate import MOST_MODELS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "monitoring.md"
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs Prometheus: apt-get install prometheus"
)


@cache
def exported() -> dict[str, Any]:
    """The plugin's metrics in the registry of ``prometheus_client``, by their names there."""
    from prometheus_client import REGISTRY

    monitoring.metrics()
    return {metric.name: metric for metric in REGISTRY.collect() if metric.name.startswith("litellm_image_analysis_")}


def time_series() -> set[str]:
    """The names of all time series of the plugin in Prometheus."""
    return {f"{name}{suffix}" for name, metric in exported().items() for suffix in SUFFIXES[metric.type]}


def labels() -> dict[str, list[str]]:
    """The labels of each metric, by its name in the registry."""
    from prometheus_client import REGISTRY

    collectors: list[Any] = list(REGISTRY._collector_to_names)
    known = {each._name: list(each._labelnames) for each in collectors if hasattr(each, "_labelnames")}
    return {name: known[name] for name in exported()}


@needs_prometheus
def test_the_page_lists_the_metrics_of_the_code() -> None:
    lines = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for name, metric in exported().items():
        shown = f"{name}_total" if metric.type == "counter" else name
        named = ", ".join(f"`{label}`" for label in labels()[name]) or "-"
        lines.append(f"| `{shown}` | {metric.type} | {named} | {metric.documentation} |")
    expect_table(PAGE, "\n".join(lines))


def test_the_page_has_the_names_and_limits_of_the_code() -> None:
    text = PAGE.read_text()
    assert f"at most {MOST_MODELS} vision models" in text
    assert f"`{monitoring.OTHER_MODELS}`" in text
    table = re.findall(r"^\| `(\w+)` \| ", text.partition("## Alerts")[2], re.MULTILINE)
    assert table == list(alerts())


@needs_prometheus
def test_all_metrics_of_dashboard_and_alerts_are_exported() -> None:
    expressions = [expression for panel in panels() for expression, _ in panel.expressions]
    variables = [each["query"]["query"] for each in loaded_dashboard()["templating"]["list"] if each["type"] == "query"]
    used = set[str]().union(*map(metrics_in, [*expressions, *variables, *(rule["expr"] for rule in alerts().values())]))
    assert used - time_series() == set()


@needs_prometheus
def test_every_metric_is_on_the_dashboard() -> None:
    shown = set[str]().union(*(metrics_in(expression) for panel in panels() for expression, _ in panel.expressions))
    assert [name for name in exported() if not any(used.startswith(name) for used in shown)] == []


def test_the_reasons_in_the_alerts_are_reasons_of_the_code() -> None:
    used = re.findall(r'reason=~?"([\w|]+)"', ALERTS.read_text())
    codes = {code for each in used for code in each.split("|")}
    assert codes <= {reason.code for reason in FailureReason}


def test_every_panel_has_a_place_of_its_own() -> None:
    cells = [
        (column, row)
        for panel in panels()
        for column in range(panel.x, panel.x + panel.width)
        for row in range(panel.y, panel.y + panel.height)
    ]
    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) < 24
    ids = [panel["id"] for panel in loaded_dashboard()["panels"]]
    assert len(ids) == len(set(ids))


def test_grafana_loads_the_dashboard_and_prometheus_the_alerts() -> None:
    compose = yaml.safe_load((CLUSTER / "compose.yaml").read_text())["services"]
    mounts = [mount.split(":") for name in ("grafana", "prometheus") for mount in compose[name]["volumes"]]
    targets = {source: target for source, target, *_ in mounts}
    (provider,) = yaml.safe_load((CLUSTER / "grafana" / "dashboards.yaml").read_text())["providers"]
    assert targets["./grafana/dashboards"] == provider["options"]["path"]
    assert targets["./grafana/dashboards.yaml"].startswith("/etc/grafana/provisioning/dashboards/")
    (source,) = yaml.safe_load((CLUSTER / "grafana" / "datasources.yaml").read_text())["datasources"]
    assert loaded_dashboard()["templating"]["list"][0]["current"]["value"] == source["uid"]
    (rules,) = yaml.safe_load((CLUSTER / "prometheus.yml").read_text())["rule_files"]
    assert targets[f"./{rules}"] == str(Path(targets["./prometheus.yml"]).with_name(rules))
    assert all((CLUSTER / path).exists() for path in targets)


@needs_promtool
def test_the_alerts_fire_when_they_should_and_only_then() -> None:
    command = ["promtool", "test", "rules", str(ROOT / "tests" / "fixtures" / "alerts_test.yml")]
    tested = subprocess.run(command, capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@needs_promtool
def test_prometheus_accepts_the_expressions_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel_{number}", "expr": filled(expression, rate="1m", total="1h")}
        for number, expression in enumerate(expression for panel in panels() for expression, _ in panel.expressions)
    ]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.skipif("GRAFANA_SCHEMA" not in os.environ, reason="GRAFANA_SCHEMA=1 installs Grafana's schema with npm")
@pytest.mark.parametrize("unknown", [False, True])
def test_the_dashboard_has_grafana_s_schema(tmp_path: Path, *, unknown: bool) -> None:
    """TypeScript compares the file with Grafana's own types, in which an unknown key is an error."""
    version = yaml.safe_load((CLUSTER / "compose.yaml").read_text())["services"]["grafana"]["image"].partition(":")[2]
    (tmp_path / "package.json").write_text("{}")
    install = ["npm", "install", "--silent", f"@grafana/schema@{version}", "typescript@5"]
    subprocess.run(install, cwd=tmp_path, check=True)
    dashboard = json.loads(DASHBOARD.read_text()) | ({"unknown": 1} if unknown else {})
    code = (
        f"import type {{ Dashboard }} from '@grafana/schema';\nexport const d: Dashboard = {json.dumps(dashboard)};\n"
    )
    (tmp_path / "dashboard.ts").write_text(code)
    options = ["--noEmit", "--strict", "--skipLibCheck", "--moduleResolution", "bundler", "--module", "esnext"]
    command = ["npx", "tsc", *options, "dashboard.ts"]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (checked.returncode != 0, "unknown" in checked.stdout) == (unknown, unknown), checked.stdout
