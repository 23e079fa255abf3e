"""P14: ``GET /v1/models`` of a proxy with 1,000 models, with and without the plugin."""

from __future__ import annotations

from functools import partial
from typing import Any

from support.configs import deployment

from benchmarks.gateway import Gateway, models_of, running_gateways, running_provider, with_plugin, without_plugin
from benchmarks.measure import Curve, Result, Row, Run, Scenario, Times, Variant

_MODELS = (10, 100, 300, 1000)
_PATH = "/v1/models"


def _list(gateway: Gateway, _: object = None) -> list[Any]:
    rows: list[Any] = gateway.client.get(_PATH).raise_for_status().json()["data"]
    return rows


async def _compared(run: Run, number: int) -> tuple[dict[str, Times], int]:
    """Return the times with and without the plugin, and how many models it lists more."""
    with running_provider() as provider:
        kinds = models_of(provider)
        models = kinds + [
            deployment(f"model-{each}", "blind-chat", provider.base_url) for each in range(number - len(kinds))
        ]
        configs = {"without": without_plugin(models), "with": with_plugin(models)}
        with running_gateways(run, configs) as gateways:
            variants: dict[str, Variant[Any]] = {
                name: gateway.measured(partial(_list, gateway), lambda: None) for name, gateway in gateways.items()
            }
            more = len(_list(gateways["with"])) - len(_list(gateways["without"]))
            return await run.compare(variants, rounds=7, calls=max(20, 20_000 // number)), more


async def measure(run: Run) -> Result:
    """Measure it for each number of models."""
    most = max(_MODELS)
    by_number = {number: await _compared(run, number) for number in ((most,) if run.is_quick else _MODELS)}
    times, more = by_number[most]
    lines: dict[str, list[tuple[float, float]]] = {
        name: [(number, found[name].cpu * 1e3) for number, (found, _) in by_number.items()] for name in times
    }
    return Result(
        [
            Row(
                "1,000 models: CPU of the proxy, with over without",
                times["with"].cpu / times["without"].cpu,
                "ratio",
                1.3,
            ),
            Row("1,000 models, without: CPU of the proxy", times["without"].cpu * 1e3, "ms"),
            Row("suffixed names listed beside 1,000 models", more, "models", at_least=most - 1, is_exact=True),
        ],
        [Curve("List of models", "models", "CPU of the proxy, ms", lines)],
    )


SCENARIO = Scenario(
    "List of 1,000 models",
    measure,
    "`GET /v1/models` of two proxies with the same models, one of them with the plugin, which also lists the name with"
    " the suffix of each model but the vision model. CPU time of each proxy's process.",
)
