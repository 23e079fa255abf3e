"""An explanation as text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from litellm_image_analysis.cli.output import Line

_WIDTH = 14


def lines_of(report: dict[str, Any]) -> list[Line]:
    """Return the lines that show the JSON of an explanation."""
    lines = [*_head(report)]
    for image in report["images"]:
        lines += ["", *_image(image, report)]
    for file in report["files"]:
        size = "" if file["bytes"] is None else f", {file['bytes']:,} bytes"
        lines += ["", _title(f"{file['place']}: file, {file['media_type'] or 'unknown type'}{size}")]
        lines.append(_row("result", "it stays" if file["text"] is None else file["text"]))
    lines += ["", *_calls(report)]
    if "look" in report:
        lines += ["", *_look(report["look"])]
    return lines


def _title(text: str) -> Line:
    return [(text, "bold")]


def _row(name: str, value: object) -> Line:
    indent = "\n" + " " * (_WIDTH + 2)
    return [(f"  {name:<{_WIDTH}}", "dim"), (str(value).replace("\n", indent), None)]


def _head(report: dict[str, Any]) -> Iterator[Line]:
    guessed = " (guessed by the shape of the body)" if report["route_is_guessed"] else ""
    yield _row("route", f"{report['route']}{guessed}")
    yield _row("analysed", f"{'yes' if report['analysed'] else 'no'}: {report['why']}")
    yield _row("model", report["model"])
    yield _row("vision model", report["vision_model"])
    for each in report["deployments"]:
        words = {True: "yes", False: "no", None: "not known"}
        accepts, analysed = words[each["accepts_images"]], words[each["analysed"]]
        yield _row("deployment", f"{each['model']}: accepts images: {accepts}, analysed: {analysed}")
    if report["refusal"] is not None:
        refusal = report["refusal"]
        yield [("  refused       ", "red"), (f"{refusal['status']} {refusal['code']}: {refusal['message']}", None)]


def _image(image: dict[str, Any], report: dict[str, Any]) -> Iterator[Line]:
    facts = [image["kind"], image["media_type"]]
    facts.append(None if not image["bytes"] else f"{image['bytes']:,} bytes encoded")
    facts.append(None if image["width"] is None else f"{image['width']} x {image['height']} pixels")
    yield _title(f"{image['place']}: image {image['number']} of {image['count']}, {', '.join(filter(None, facts))}")
    if report["analysed"]:
        yield _row("question", image["question"] or "(none)")
    if image["key"] is not None:
        same = f", the same as {image['same_as']}" if image["same_as"] is not None else ""
        yield _row("key", f"{image['key']}...{same}")
    if image["reason"] is not None:
        yield _row("no call", ": ".join(filter(None, (image["reason"], image["limit"]))))
    stays = "the request is refused" if image["result"] == "refused" else "the image stays"
    yield _row("result", stays if image["text"] is None else image["text"])
    if image["result"] == "analysed":
        instead = {"placeholder": image["text_on_failure"], "keep": "the image stays", "reject": "the request fails"}
        yield _row("on failure", instead[report["on_failure"]])


def _calls(report: dict[str, Any]) -> Iterator[Line]:
    cost = report["cost_at_most_usd"]
    at_most = "price unknown" if cost is None else f"at most about {cost} USD, without retries"
    count = report["vision_calls"]
    yield _title(f"{count} vision call{'' if count == 1 else 's'} with an empty cache, {at_most}")
    for call in report["calls"]:
        parts = call["key_parts"]
        yield _row("key", f"{call['key']}...")
        for name in ("scope", "model", "max_output_tokens", "instructions", "images"):
            shown = ", ".join(parts[name]) if isinstance(parts[name], list) else parts[name]
            yield _row("", f"{name.replace('_', ' ')}: {shown}")
        yield _row("question", call["question"])


def _look(look: dict[str, Any]) -> Iterator[Line]:
    report = look["report"]
    if report is not None:
        cost = "unknown" if report["cost_usd"] is None else f"{report['cost_usd']} USD"
        yield _title(f"Asked {report['vision_model']}: {report['images']} images replaced, cost {cost}")
        for name in ("reasons", "cures"):
            if report[name]:
                yield _row(name, "; ".join(report[name]))
    if look["refusal"] is not None:
        yield _row("refused", f"{look['refusal']['status']}: {look['refusal']['message']}")
    if look["request"] is not None:
        yield _title("The text model gets:")
        yield json.dumps(look["request"], indent=2, ensure_ascii=False)
