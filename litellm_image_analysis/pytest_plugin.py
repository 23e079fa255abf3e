"""A fixture for the tests of programs that use this package. pytest finds it if the package is installed.

It does not import the rest of the package before a test uses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from litellm_image_analysis.testing import FakeVision


@pytest.fixture
def fake_vision() -> Iterator[FakeVision]:
    """A vision model that answers all vision calls of this process without a network. See ``testing.fake_vision``."""
    from litellm_image_analysis import testing

    with testing.fake_vision() as fake:
        yield fake
