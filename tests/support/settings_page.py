"""The tables of ``docs/settings.md``, generated from the settings."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ByteSize

from litellm_image_analysis.config import CacheConfig, ImageAnalysisConfig, PageConfig


def settings_tables() -> str:
    return "\n".join(
        [
            *_table(ImageAnalysisConfig),
            "",
            "## Cache",
            "",
            "Under `cache` in the settings above. [`cache.md`](cache.md) describes the cache.",
            "",
            *_table(CacheConfig),
            "",
            "## Page",
            "",
            "Under `page` in the settings above. [`page.md`](page.md) describes the page.",
            "",
            *_table(PageConfig),
        ]
    )


def _table(model: type[BaseModel]) -> list[str]:
    rows = [
        f"| `{name}` | `{_default(field.get_default())}` | {field.title} | {field.description} |"
        for name, field in model.model_fields.items()
    ]
    return ["| setting | default | meaning | value |", "|---|---|---|---|", *rows]


def _default(value: Any) -> str:
    if isinstance(value, BaseModel):
        name, first = next(iter(value.model_dump().items()))
        return f"{{{name}: {_default(first)}}}"
    if isinstance(value, ByteSize):
        return value.human_readable(separator="").replace(".0", "")
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)
