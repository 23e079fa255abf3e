"""A report in the response's headers."""

from __future__ import annotations

from decimal import Decimal

import pytest
from support.reports import REPORT

from litellm_image_analysis.analysis.report import Report
from litellm_image_analysis.billing.summary import response_headers


class TestHeaders:
    def test_all_is_told(self) -> None:
        assert response_headers(REPORT, base_cost=Decimal("0.00065")) == {
            "x-litellm-image-analysis-model": "eyes",
            "x-litellm-image-analysis-images": "3",
            "x-litellm-image-analysis-cached": "1",
            "x-litellm-image-analysis-failed": "1",
            "x-litellm-image-analysis-error": "image_analysis_timeout",
            "x-litellm-image-analysis-duration-ms": "812",
            "x-litellm-image-analysis-cost": "0.00021",
            "x-litellm-response-cost-total": "0.00086",
        }

    def test_a_request_without_images_says_only_that(self) -> None:
        assert response_headers(Report("eyes"), base_cost=Decimal("0.00065")) == {
            "x-litellm-image-analysis-images": "0"
        }

    def test_images_that_failed_and_stayed_are_told(self) -> None:
        told = response_headers(Report("eyes", images=0, failed=2), base_cost=None)
        assert told["x-litellm-image-analysis-images"] == "0"
        assert told["x-litellm-image-analysis-failed"] == "2"

    def test_an_unknown_cost_is_not_told_and_neither_is_a_total(self) -> None:
        told = response_headers(Report("eyes", images=1, cost=None), base_cost=Decimal("0.00065"))
        assert [name for name in told if "cost" in name] == []

    def test_a_stream_has_no_total_yet(self) -> None:
        told = response_headers(REPORT, base_cost=None)
        assert [name for name in told if "cost" in name] == ["x-litellm-image-analysis-cost"]

    @pytest.mark.parametrize("vision_model", ["gpt-4o-mini", "azure/eu@2024-05", "ollama/qwen2.5vl:7b", "two words"])
    def test_an_ordinary_name_stands_in_its_header_as_it_is(self, vision_model: str) -> None:
        told = response_headers(Report(vision_model, images=1), base_cost=None)
        assert told["x-litellm-image-analysis-model"] == vision_model

    @pytest.mark.parametrize("vision_model", ["視覺", "eyes\r\nset-cookie: a=b", "\ud800"])
    def test_whatever_the_vision_model_is_called_its_header_can_be_sent(self, vision_model: str) -> None:
        """Servers refuse other characters, or send them as a separate header. The answer would be lost."""
        value = response_headers(Report(vision_model, images=1), base_cost=None)["x-litellm-image-analysis-model"]
        assert value.isascii()
        assert value.isprintable()
