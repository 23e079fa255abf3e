"""Errors in the format of each route."""

from __future__ import annotations

import pytest

from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.proxy.http_errors import attempt_error, error_headers, http_error


def test_within_an_attempt_the_router_is_told_that_no_deployment_is_to_blame() -> None:
    error = attempt_error(RequestError("too late", status_code=504), "acompletion")
    assert vars(error)["status_code"] == 424
    assert error.code == "504"


class TestHttpError:
    def test_it_is_openais_error_object_with_the_right_status(self) -> None:
        error = http_error(RequestError("too large", status_code=413, param="messages[0]", code="image_too_large"))
        assert error.to_dict() == {
            "message": "too large",
            "type": "invalid_request_error",
            "param": "messages[0]",
            "code": "image_too_large",
        }
        assert error.code == "413"

    @pytest.mark.parametrize(
        ("status", "name"),
        [(400, "INVALID_ARGUMENT"), (429, "RESOURCE_EXHAUSTED"), (418, "FAILED_PRECONDITION"), (500, "INTERNAL")],
    )
    @pytest.mark.parametrize("call_type", ["agenerate_content", "agenerate_content_stream"])
    def test_on_google_s_route_it_is_google_s_error_object(self, status: int, name: str, call_type: str) -> None:
        error = http_error(RequestError("no", status_code=status, code="image_too_large"), call_type)
        info = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "IMAGE_TOO_LARGE",
            "domain": "litellm-image-analysis",
        }
        assert error.to_dict() == {"code": status, "message": "no", "status": name, "details": [info]}

    def test_an_older_litellm_is_told_the_status_too(self) -> None:
        assert vars(http_error(RequestError("too large", status_code=413)))["status_code"] == 413

    def test_the_machine_readable_reason_is_not_lost(self) -> None:
        assert http_error(RequestError("too large", code="image_too_large")).openai_code == "image_too_large"

    @pytest.mark.parametrize(("seconds", "headers"), [(7, {"retry-after": "7"}), (0, {"retry-after": "0"}), (None, {})])
    def test_when_to_try_again_is_a_header(self, seconds: int | None, headers: dict[str, str]) -> None:
        code = {"x-litellm-image-analysis-error": "invalid_request"}
        assert http_error(RequestError("later", retry_after_seconds=seconds)).headers == code | headers

    def test_the_code_is_a_header_on_routes_that_send_no_headers_of_an_error(self) -> None:
        error = http_error(RequestError("too large", code="image_too_large"))
        assert error_headers(error) == {"x-litellm-image-analysis-error": "image_too_large"}
        assert error_headers(ValueError("another error")) == {}
