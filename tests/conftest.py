"""For all tests: no network. LiteLLM would fetch its cost map when it is imported."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

pytest_plugins = ["support.redis_worker", "support.routers"]  # fixtures

settings.register_profile("project", deadline=None)  # a deadline is a timing assertion
settings.load_profile("project")
