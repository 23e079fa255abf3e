"""The main job of the package, in an empty environment: ``python -I release_job.py FOLDER VERSION EXTRA...``.

It uses the installed wheel of this version and not a checkout. FOLDER has a copy of ``examples`` and
``proxy_config.yaml``. The models of OpenAI are a stand-in on loopback, which the environment names.
"""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

QUESTION = "What is the total?"
TOTAL = "TOTAL  42.80"


def main(folder: Path, version: str, extras: set[str]) -> None:
    """Import the package, analyse an image in a program, and do what the extras are for."""
    start = time.perf_counter()
    import litellm_image_analysis

    milliseconds = (time.perf_counter() - start) * 1000
    place = Path(litellm_image_analysis.__file__)
    _check(place.is_relative_to(sys.prefix), f"{place} is not the installed wheel")
    _check("litellm" not in sys.modules, "importing the package imports LiteLLM")
    check_version(version)
    print(f"imported in {milliseconds:.0f} ms")
    asyncio.run(_ask(folder))
    _run_command()
    if "redis" in extras:  # nothing listens there: the request continues without the shared cache
        asyncio.run(_ask(folder, cache={"backend": "redis", "redis_url": f"unix://{folder}/none", "secret": "any"}))
    if "local-ocr" in extras:
        asyncio.run(_recognise(folder))
    if "proxy" in extras:
        _run_quickstart(folder)
    if {"proxy", "local-ocr"} <= extras:
        _run_quickstart(folder, without="OPENAI_API_KEY")


def _run_command() -> None:
    """Run the installed command, which needs only packages that LiteLLM has."""
    script = str(Path(sys.executable).with_name("litellm-image-analysis"))
    for command in ([script], [sys.executable, "-I", "-m", "litellm_image_analysis"]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
        _check(done.returncode == 0, f"{command[-1]} failed:\n{done.stderr}")


def check_version(version: str) -> None:
    """Compare the version of the package with that of the wheel that was built.

    Raises:
        SystemExit: they differ.
    """
    import litellm_image_analysis

    found = litellm_image_analysis.__version__
    _check(found == version, f"the installed package has version {found} and not {version}")


def _messages(folder: Path) -> list[dict[str, Any]]:
    url = "data:image/png;base64," + base64.b64encode((folder / "examples" / "receipt.png").read_bytes()).decode()
    content = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": content}]


async def _ask(folder: Path, **settings: Any) -> None:
    """Ask a text model about the receipt."""
    import litellm

    from litellm_image_analysis import ImageAnalysis, report

    plugin = ImageAnalysis(vision_model="gpt-4o-mini", **settings)
    litellm.callbacks = [plugin]
    response = await litellm.acompletion(model="openai/gpt-3.5-turbo-ocr", messages=_messages(folder))
    await plugin.aclose()
    told = report(response)
    _check(told is not None and (told.images, told.failed) == (1, 0), f"the report is {told}")
    _check(TOTAL in response.choices[0].message.content, "the text model has not read the receipt")
    print("asked a text model in a program" + (", without the Redis of its settings" if settings else ""))


async def _recognise(folder: Path) -> None:
    """Let ``local-ocr`` read the receipt."""
    from litellm_image_analysis import ImageAnalysis

    messages = await ImageAnalysis(vision_model="local-ocr/rapidocr").rewrite(_messages(folder))
    _check(TOTAL in messages[0]["content"], f"local-ocr has read {messages[0]['content']}")
    print("recognised the text of a receipt")


def _run_quickstart(folder: Path, without: str = "") -> None:
    """Run the quickstart, which starts a proxy, with or without a key."""
    environment = {name: value for name, value in os.environ.items() if name != without}
    command = [sys.executable, str(folder / "examples" / "quickstart.py")]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    answer = result.stdout.partition("--- its answer ---")[2]
    _check(not result.returncode and TOTAL in answer, f"{result.stdout}\n{result.stderr}")
    print("ran the quickstart with a proxy" + (" and without a key" if without else ""))


def _check(is_right: object, message: str) -> None:
    if not is_right:
        sys.exit(message)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], set(sys.argv[3:]))
