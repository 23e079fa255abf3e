"""The command ``litellm-image-analysis``. Each of its commands is a package of its own in this folder."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

_NEEDED = ("click", "yaml")


def main() -> int:
    """Run the command with the arguments of the process. It exits with 0, 1 or 2.

    Returns:
        The exit code if a package is missing.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"litellm-image-analysis needs {' and '.join(missing)}: pip install 'litellm-image-analysis[cli]'\n"
        )
        return 2
    from litellm_image_analysis.cli.group import commands

    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # otherwise the import of LiteLLM contacts a host
    commands.main(prog_name="litellm-image-analysis")
    return 0
