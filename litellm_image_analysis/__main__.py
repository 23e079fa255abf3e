"""``python -m litellm_image_analysis``: the same as the command ``litellm-image-analysis``."""

from __future__ import annotations

import sys

from litellm_image_analysis.cli import main

sys.exit(main())
