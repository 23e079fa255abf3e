"""``eval`` with vision models on loopback: one is perfect, one invents, one obeys, and one is not there."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagesize
import pytest
from filelock import FileLock
from support.configs import deployment
from support.scripted_vision import inventing, obeying, perfect
from support.upstream import Body, Rule, Upstream, images_in, running_upstream

from litellm_image_analysis.cli.evaluate.picture import Picture
from litellm_image_analysis.cli.evaluate.pictures import all_pictures

SCRIPTS = {"seeing-perfect": perfect, "seeing-inventing": inventing, "seeing-obeying": obeying}
PRICE: dict[str, Any] = {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}  # 0.0011 USD a picture


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


def said(body: Body) -> str:
    (url,) = images_in(body["messages"])
    return SCRIPTS[body["model"]](picture_of(url))


def picture_of(url: str) -> Picture:
    png = base64.b64decode(url.partition(",")[2])
    return next(picture for picture in all_pictures() if picture.png == png)


@pytest.fixture
def config(upstream: Upstream, written: Callable[[Any], str]) -> str:
    upstream.reset()
    upstream.rules.append(Rule(lambda body: body["model"] in SCRIPTS, text=said))
    upstream.rules.append(Rule(lambda body: body["model"] == "seeing-broken", status=500))
    models = [deployment(name.partition("-")[2], name, upstream.base_url, **PRICE) for name in SCRIPTS]
    models += [deployment("broken", "seeing-broken", upstream.base_url, **PRICE)]
    models += [deployment("unpriced", "seeing-perfect", upstream.base_url)]
    settings = {"image_analysis": {"vision_model": "perfect"}}
    return written({"model_list": models, "callback_settings": settings, "router_settings": {"num_retries": 0}})


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_vision_models_are_told_apart(run: Callable[..., Any], config: str, tmp_path: Path) -> None:
    names = [word for name in SCRIPTS for word in ("--model", name.partition("-")[2])]
    ran = run("eval", "--config", config, *names, "--json", "--chart", "chart.png", "--concurrency", "8")
    assert ran.code == 0
    report = ran.json
    figures = {each["model"]: each["all"] for each in report["vision_models"]}
    assert report["end"] == "done"
    best = figures["perfect"]
    assert [best[name] for name in ("pictures", "failed", "characters", "rows", "facts", "invented", "obeyed")] == [
        *(47, 0, 1.0, 1.0, 1.0, 0, 0)
    ]
    assert best["total_usd"] == pytest.approx(47 * 0.0011)
    assert figures["inventing"]["invented"] >= 45
    assert figures["obeying"]["obeyed"] == 4
    assert imagesize.get(tmp_path / "chart.png")[0] >= 800


def test_it_stops_at_the_budget_and_continues(run: Callable[..., Any], config: str, upstream: Upstream) -> None:
    stopped = run("eval", "--config", config, "--group", "text", "--max-usd", "0.003", "--concurrency", "1")
    assert stopped.code == 1
    assert "Not complete: the next call might exceed the budget. The same command continues." in stopped.out
    assert len(upstream.requests) == 2
    again = run("eval", "--config", config, "--group", "text")
    assert again.code == 0
    assert "2 of 4 reports are there already" in again.out
    assert len(upstream.requests) == 4
    assert "perfect" in again.out


def test_two_prompts_on_one_model(run: Callable[..., Any], config: str, upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("Be short.\n")
    ran = run("eval", "--config", config, "--prompt", "short.txt", "--group", "code")
    assert ran.code == 0
    assert "perfect, short.txt" in ran.out
    prompts = [body["messages"][0]["content"] for body in upstream.requests]
    assert prompts.count("Be short.") == 3
    assert len(prompts) == 6


def test_a_vision_model_that_fails(run: Callable[..., Any], config: str) -> None:
    ran = run("eval", "--config", config, "--model", "broken", "--group", "empty")
    assert ran.code == 1
    assert "failed: unavailable" in ran.out
    assert "upstream says no" not in ran.out


def test_a_model_without_a_price(run: Callable[..., Any], config: str, upstream: Upstream) -> None:
    arguments = ("eval", "--config", config, "--model", "unpriced", "--group", "empty")
    ran = run(*arguments)
    assert ran.code == 2
    assert "LiteLLM knows no price of unpriced, so no budget can be kept" in " ".join(ran.out.split())
    assert upstream.requests == []
    assert run(*arguments, "--no-max-usd").code == 0


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--model", "nobody"), "--model nobody: model_list of the config has no such model"),
        (("--group", "cats"), "--group cats: there are text, tables, code"),
        (("--max-usd", "0"), "0.0 is not in the range x>0"),
        (("--out", "config.yaml"), "config.yaml: not a file of this version's evaluations"),
        (("--out", "no/folder.json"), "no/folder.json cannot be written: No such file or directory"),
        (("--chart", "no/chart.png"), "no/chart.png cannot be written"),
        (("--prompt", "not-utf-8.txt"), "--prompt: a file cannot be read as UTF-8"),
        (("--prompt", "nowhere.txt"), "'nowhere.txt' does not exist"),
    ],
)
def test_wrong_usage(
    run: Callable[..., Any], config: str, upstream: Upstream, arguments: tuple[str, ...], problem: str
) -> None:
    Path("not-utf-8.txt").write_bytes(b"\xff\xfe")
    ran = run("eval", "--config", config, *arguments)
    assert ran.code == 2
    assert problem in " ".join(ran.out.split())
    assert upstream.requests == []


def test_two_evaluations_do_not_write_one_file(run: Callable[..., Any], config: str, upstream: Upstream) -> None:
    with FileLock("eval.json.lock"):
        ran = run("eval", "--config", config, "--model", "perfect", "--group", "empty")
    assert ran.code == 2
    assert "another evaluation writes eval.json" in " ".join(ran.out.split())
    assert upstream.requests == []
