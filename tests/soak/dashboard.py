"""A picture of the dashboard of the cluster example: two real proxies under load, scraped by a real Prometheus.

``make dashboard`` writes ``docs/monitoring/dashboard.png``. It needs Prometheus (``apt-get install prometheus``). Each
panel has Prometheus's answers to the expressions of the dashboard. Matplotlib draws them instead of Grafana.
"""

from __future__ import annotations

import argparse
import itertools
import random
import shutil
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.billing import ROUTES  # noqa: E402 - needs the path above
from support.configs import proxy_config  # noqa: E402
from support.dashboard import Panel, filled, panels  # noqa: E402
from support.images import data_uri  # noqa: E402
from support.prometheus import Prometheus, running_prometheus  # noqa: E402
from support.proxy import Proxy, eventually, running_proxy  # noqa: E402
from support.redis_server import running_redis  # noqa: E402
from support.upstream import Body, Rule, Upstream, images_in, running_upstream  # noqa: E402

PICTURE = ROOT / "docs" / "monitoring" / "dashboard.png"
CLIENTS = 6
RATE, STEP = "15s", 2
BROKEN = data_uri("broken")
DELAYS = (0.1, 0.3, 0.8, 2.5)
"""Seconds of the vision calls, each for a quarter of the images."""
VISION_MODELS = ("gpt-4o-mini", "other-vision")


class Traffic:
    """Clients that send new and known images to two proxies. In the middle third, one vision model fails at times.

    Args:
        upstream: the provider.
        proxies: the proxies.
        seconds: duration.
    """

    def __init__(self, upstream: Upstream, proxies: list[Proxy], seconds: float) -> None:
        self._upstream, self._proxies = upstream, proxies
        self._start = time.monotonic()
        self._seconds = seconds
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def run(self) -> None:
        """Send until the time is over."""
        self._upstream.rules += [
            Rule(lambda body: BROKEN in str(body), status=400, error="no image"),
            Rule(lambda body: body["model"] == "seeing-other" and self._fails(), status=503, error="overloaded"),
            *(Rule(partial(_is_slow, part), delay_seconds=seconds) for part, seconds in enumerate(DELAYS)),
        ]
        with ThreadPoolExecutor(CLIENTS) as pool:
            for client in [pool.submit(self._send, number) for number in range(CLIENTS)]:
                client.result()

    @property
    def _part(self) -> float:
        return (time.monotonic() - self._start) / self._seconds

    def _fails(self) -> bool:
        return 0.4 < self._part < 0.6

    def _send(self, client_number: int) -> None:
        chance = random.Random(client_number)
        with self._proxies[client_number % 2].client() as client:
            while self._part < 1:
                path, body = self._request(chance)
                client.post(path, json=body)
                time.sleep(chance.uniform(0, 0.4))

    def _request(self, chance: random.Random) -> tuple[str, dict[str, Any]]:
        new, known = f"new {next(self._numbers) // 2}", f"known {chance.randrange(40)}"
        marks = chance.choice(([], [known], [known], [known, known + " too"], [new], [new, known]))
        if chance.random() < 0.02:
            marks = ["broken"]
        route = chance.choice(list(ROUTES))
        path, body = ROUTES[route]("deepseek-chat-ocr", "What is it?", marks, stream=False)
        return path, {**body, "ocr_model": chance.choices(VISION_MODELS, (3, 1))[0]}


def _is_slow(part: int, body: Body) -> bool:
    """Whether this is a vision call whose image belongs to this part of all images."""
    return bool(images_in(body)) and hash(str(body)) % len(DELAYS) == part


def draw(prometheus: Prometheus, start: float, end: float) -> None:
    """Draw all panels in Grafana's grid."""
    from matplotlib.figure import Figure

    found = panels()
    rows = max(panel.y + panel.height for panel in found)
    figure = Figure(figsize=(15, 0.38 * rows + 1))
    note = (
        "Answers of Prometheus to the dashboard's queries in a real run. Matplotlib drew them: Grafana looks different."
    )
    figure.suptitle("Image analysis", x=0.03, y=0.99, ha="left", fontsize=15)
    figure.text(0.985, 0.983, note, ha="right", fontsize=9, color="dimgray")
    width, height = 1 / 24, 0.96 / rows
    for panel in found:
        left, top = panel.x * width + 0.045, 0.965 - panel.y * height - 0.018
        axes = figure.add_axes(
            (left, top - panel.height * height + 0.035, panel.width * width - 0.055, panel.height * height - 0.04)
        )
        axes.set_title(panel.title, loc="left", fontsize=10)
        if panel.kind == "stat":
            _draw_number(axes, panel, prometheus, end, end - start)
        else:
            _draw_lines(axes, panel, prometheus, start, end)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=80)


def _draw_number(axes: Any, panel: Panel, prometheus: Prometheus, end: float, seconds: float) -> None:
    ((expression, _),) = panel.expressions
    data = prometheus.get("query", query=filled(expression, rate=RATE, total=f"{round(seconds)}s"), time=end)["result"]
    value = float(data[0]["value"][1]) if data else 0.0
    shown = {"percentunit": f"{value:.0%}", "currencyUSD": f"${value:,.3f}"}.get(panel.unit, f"{value:,.0f}")
    axes.axis("off")
    axes.text(0, 0.4, shown, fontsize=20, va="center", color="tab:green", transform=axes.transAxes)


def _draw_lines(axes: Any, panel: Panel, prometheus: Prometheus, start: float, end: float) -> None:
    from matplotlib.ticker import EngFormatter

    lines: dict[str, dict[float, float]] = {}
    for expression, legend in panel.expressions:
        for labels, values in prometheus.series(filled(expression, rate=RATE, total="1h"), start, end, STEP):
            name = legend
            for label, value in labels.items():
                name = name.replace(f"{{{{{label}}}}}", value)
            lines[name] = {moment - start: float(value) for moment, value in values}
    moments = sorted({moment for line in lines.values() for moment in line})
    values = [[line.get(moment, float("nan")) for moment in moments] for line in lines.values()]
    if panel.is_stacked and lines:
        axes.stackplot(moments, [[0 if v != v else v for v in each] for each in values], labels=list(lines), alpha=0.5)
    else:
        for name, each in zip(lines, values, strict=True):
            axes.plot(moments, each, label=name, linewidth=1.2)
    axes.set_xlim(0, end - start)
    axes.set_ylim(bottom=0)
    units = {"cps": "a second", "s": "seconds", "currencyUSD": "USD an hour", "bytes": "bytes"}
    axes.set_ylabel(units.get(panel.unit, ""), fontsize=8)
    axes.tick_params(labelsize=8)
    if max((value for line in lines.values() for value in line.values()), default=0) > 1000:
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    axes.spines[["top", "right"]].set_visible(False)
    if lines:
        axes.legend(fontsize=7, loc="upper left", frameon=False, ncols=3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=180)
    seconds = parser.parse_args().seconds
    if shutil.which("prometheus") is None:
        sys.exit("Prometheus is not installed: apt-get install prometheus")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(running_upstream())
        cache = {"backend": "redis", "redis_url": stack.enter_context(running_redis()).url}
        config = proxy_config(upstream, cache=cache, circuit_pause_seconds=5)
        config["litellm_settings"] |= {"require_auth_for_metrics_endpoint": False}
        config["litellm_settings"]["callbacks"].append("prometheus")
        key = "sk-the-key-of-all-hosts"
        proxies = [stack.enter_context(running_proxy(config, folder / name, key=key)) for name in ("one", "two")]
        prometheus = stack.enter_context(running_prometheus([proxy.port for proxy in proxies], folder))
        assert eventually(lambda: prometheus.value("sum(up)") == len(proxies), 60)
        start = time.time()
        Traffic(upstream, proxies, seconds).run()
        draw(prometheus, start, time.time())
    sys.stdout.write(f"wrote {PICTURE}\n")


if __name__ == "__main__":
    main()
