"""The limits of a request, and the errors for requests above them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from support.images import png_header
from support.strategies import json_values

from litellm_image_analysis.analysis.limits import check_pixels, check_shape, check_sizes, is_large
from litellm_image_analysis.config import ImageAnalysisConfig
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.request import FoundImage, WireFormat, chat, generate_content, messages, responses
from litellm_image_analysis.request.image import ImageSource

PNG = "data:image/png;base64,"
CONVERSATIONS: dict[str, tuple[WireFormat, str]] = {
    "chat": (chat, "messages"),
    "messages": (messages, "messages"),
    "responses": (responses, "input"),
    "generate_content": (generate_content, "contents"),
}
every_wire_format = pytest.mark.parametrize(("wire_format", "key"), CONVERSATIONS.values(), ids=CONVERSATIONS)


def image_of(size: int, mark: str = "A") -> ImageSource:
    """An inline image that takes ``size`` bytes of the request."""
    return ImageSource(PNG + mark * (size - len(PNG)))


def found(*images: ImageSource | None) -> list[FoundImage]:
    return [
        FoundImage(("messages", 0, "content", place), image, place + 1, len(images), "")
        for place, image in enumerate(images)
    ]


def exceeded(*images: ImageSource | None, **limits: Any) -> RequestError | None:
    config = ImageAnalysisConfig(**limits)
    checks = (check(found(*images), config) for check in (check_sizes, check_pixels))
    return next(filter(None, checks), None)


def rejected(*images: ImageSource, **limits: Any) -> RequestError:
    error = exceeded(*images, **limits)
    assert error is not None
    return error


def nested(depth: int) -> Any:
    """Nested lists of this depth."""
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


class TestShape:
    @every_wire_format
    def test_too_many_messages_are_told_their_number(self, wire_format: WireFormat, key: str) -> None:
        error = check_shape({key: [{}] * 1001}, wire_format, ImageAnalysisConfig(max_messages=1000))
        assert error is not None
        assert (error.status_code, error.code, error.param) == (400, "too_many_messages", key)
        assert error.message == (
            f"{key}: there are 1,001, the limit is 1,000 (setting max_messages). Send fewer, or begin a new"
            " conversation."
        )

    @every_wire_format
    def test_as_many_messages_as_are_allowed_pass(self, wire_format: WireFormat, key: str) -> None:
        assert check_shape({key: [{}] * 1000}, wire_format, ImageAnalysisConfig(max_messages=1000)) is None

    @every_wire_format
    def test_what_is_nested_too_deeply_is_told_how_deeply(self, wire_format: WireFormat, key: str) -> None:
        error = check_shape({key: nested(101)}, wire_format, ImageAnalysisConfig())
        assert error is not None
        assert (error.status_code, error.code, error.param) == (400, "nested_too_deeply", key)
        assert error.message == (
            f"{key}: objects and lists are nested at least 101 levels deep, the limit is 100"
            " (setting max_nesting_depth). Send a flatter request."
        )

    @every_wire_format
    def test_as_deep_as_is_allowed_passes(self, wire_format: WireFormat, key: str) -> None:
        assert check_shape({key: nested(100)}, wire_format, ImageAnalysisConfig()) is None

    @pytest.mark.parametrize(
        ("wire_format", "key"),
        [(messages, "system"), (generate_content, "systemInstruction"), (generate_content, "system_instruction")],
    )
    def test_everything_that_is_searched_is_measured(self, wire_format: WireFormat, key: str) -> None:
        error = check_shape({key: {"parts": nested(100)}}, wire_format, ImageAnalysisConfig())
        assert error is not None
        assert error.param == key

    def test_a_depth_beyond_any_stack_is_no_problem(self) -> None:
        error = check_shape({"messages": nested(100_000)}, chat, ImageAnalysisConfig())
        assert error is not None
        assert "at least 1,100 levels deep" in error.message

    def test_what_is_not_searched_is_not_measured(self) -> None:
        assert check_shape({"tools": nested(500), "messages": []}, chat, ImageAnalysisConfig()) is None

    @pytest.mark.parametrize("value", [None, "words", 5, [], {}, "x" * 20_000])
    @every_wire_format
    def test_what_is_no_conversation_has_no_depth(self, wire_format: WireFormat, key: str, value: object) -> None:
        assert check_shape({key: value}, wire_format, ImageAnalysisConfig(max_nesting_depth=1)) is None

    @given(json_values)
    def test_a_depth_is_counted_in_levels(self, value: object) -> None:
        def levels(inner: object) -> int:
            below = inner.values() if isinstance(inner, dict) else inner if isinstance(inner, list) else None
            return 0 if below is None else 1 + max(map(levels, below), default=0)

        depth = levels(value)
        if depth > 1:
            assert check_shape({"messages": value}, chat, ImageAnalysisConfig(max_nesting_depth=depth)) is None
            error = check_shape({"messages": value}, chat, ImageAnalysisConfig(max_nesting_depth=depth - 1))
            assert error is not None
            assert f"at least {depth} levels" in error.message

    @every_wire_format
    def test_an_agent_s_long_conversation_passes(self, wire_format: WireFormat, key: str) -> None:
        call: dict[str, Any] = {"type": "tool_use", "input": {"edits": [{"ranges": [{"start": {"line": 1}}]}]}}
        assert (
            check_shape({key: [{"role": "user", "content": [call]}] * 5000}, wire_format, ImageAnalysisConfig()) is None
        )


class TestSizes:
    def test_a_request_within_all_limits_passes(self) -> None:
        images = [image_of(1000, "A"), image_of(1000, "B"), None]
        assert exceeded(*images, max_image_parts=3, max_image_bytes=1000, max_total_image_bytes=2000) is None

    def test_a_request_without_images_passes(self) -> None:
        assert exceeded(max_image_parts=1) is None

    def test_an_image_that_is_too_large_is_named_with_its_size_the_limit_and_the_setting(self) -> None:
        error = rejected(image_of(1000), image_of(2001), max_image_bytes=2000)
        assert (error.status_code, error.code) == (413, "image_too_large")
        assert error.param == "messages[0].content[1]"
        assert error.message == (
            "messages[0].content[1]: the image is 2,001 bytes encoded, the limit is 2,000 (setting max_image_bytes)."
            " Send a smaller image."
        )

    @pytest.mark.parametrize("url", ["data:application/pdf;base64,", "data:image/svg+xml,", "AAAA", "x://"])
    def test_what_is_of_no_use_may_not_be_large_either(self, url: str) -> None:
        assert rejected(ImageSource(url + "A" * 2000), max_image_bytes=2000).code == "image_too_large"

    def test_images_that_are_too_large_together_are_told_their_sum(self) -> None:
        error = rejected(image_of(2000), image_of(2000), max_total_image_bytes=3000)
        assert (error.status_code, error.code, error.param) == (413, "image_too_large", None)
        assert error.message == (
            "The request's images are 4,000 bytes encoded, the limit is 3,000 (setting max_total_image_bytes)."
            " Send fewer or smaller images, or begin a new conversation."
        )

    @pytest.mark.parametrize(
        "image",
        [
            ImageSource("https://images.example.com/" + "x" * 8166),
            ImageSource("f" * 8193, holder="openai"),
            ImageSource.referenced("gs://" + "b" * 8188),
        ],
    )
    def test_a_name_that_is_too_long_is_told_its_length(self, image: ImageSource) -> None:
        error = rejected(image)
        assert (error.status_code, error.code, error.param) == (400, "url_too_long", "messages[0].content[0]")
        assert error.message == (
            "messages[0].content[0]: the image's URL or file id has 8,193 characters, the limit is 8,192"
            " (setting max_url_characters). Send a shorter one, or the image."
        )
        assert exceeded(image, max_url_characters=8193) is None

    def test_too_many_parts_are_told_their_number_also_if_they_are_one_image(self) -> None:
        error = rejected(*[image_of(100)] * 6, max_image_parts=5)
        assert (error.status_code, error.code) == (400, "too_many_images")
        assert error.message == (
            "The request has 6 image parts, the limit is 5 (setting max_image_parts). Send fewer, or begin a new"
            " conversation."
        )
        assert exceeded(*[image_of(100)] * 5, max_image_parts=5) is None

    def test_nothing_is_hashed_or_copied_before_its_size_is_known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("hashlib.sha256", None)
        for image in (image_of(2001), ImageSource.encoded("image/png", "A-" * 1000)):
            assert rejected(image, max_image_bytes=2000).code == "image_too_large"
            assert "url" not in vars(image)

    def test_images_behind_urls_count_but_weigh_nothing(self) -> None:
        images = [ImageSource(f"https://images.example.com/{'x' * 2000}/{number}.png") for number in range(2)]
        assert exceeded(*images, max_image_bytes=1000, max_total_image_bytes=1000) is None
        assert rejected(*images, max_image_parts=1).code == "too_many_images"


class TestPixels:
    @staticmethod
    def png(width: int, height: int) -> ImageSource:
        return ImageSource(PNG + base64.b64encode(png_header(width, height)).decode())

    def test_too_many_pixels_are_told_their_number(self) -> None:
        error = rejected(self.png(1, 1), self.png(1001, 1000), max_image_pixels=1_000_000)
        assert (error.status_code, error.code, error.param) == (413, "image_too_large", "messages[0].content[1]")
        assert error.message == (
            "messages[0].content[1]: the image has 1,001 x 1,000 = 1,001,000 pixels, the limit is 1,000,000"
            " (setting max_image_pixels). Send a smaller image."
        )

    def test_as_many_pixels_as_are_allowed_pass(self) -> None:
        assert exceeded(self.png(1000, 1000), max_image_pixels=1_000_000) is None

    def test_a_bomb_of_few_bytes_is_seen(self) -> None:
        assert rejected(self.png(2**31 - 1, 2**31 - 1)).code == "image_too_large"

    def test_a_bomb_under_another_type_s_name_is_seen(self) -> None:
        bomb = base64.b64encode(png_header(2**16, 2**16)).decode()
        assert rejected(ImageSource.encoded("image/jpeg", bomb)).code == "image_too_large"

    def test_a_phone_s_photo_passes(self) -> None:
        assert exceeded(self.png(8064, 6048), self.png(1080, 24_000)) is None


@every_wire_format
@pytest.mark.parametrize(("values", "large"), [(10, False), (100_000, True)])
def test_a_request_of_many_values_is_large_also_if_it_is_one_list_or_deep(
    wire_format: WireFormat, key: str, values: int, *, large: bool
) -> None:
    flat = [{"role": "user"} for _ in range(values)]
    assert is_large({key: flat}, wire_format) is large
    assert is_large({key: nested(values)}, wire_format) is large
    assert is_large({key: [dict.fromkeys(map(str, range(values)))]}, wire_format) is large
    assert not is_large({"elsewhere": flat}, wire_format)
    assert not is_large({key: "a" * 10**6}, wire_format)
    assert is_large({key: ["a" * 10**6, "a" * 10**6]}, wire_format)


class Unread(list[Any]):
    """A list that fails when it is read."""

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError


@every_wire_format
def test_a_list_that_is_too_long_is_not_read_to_see_that(wire_format: WireFormat, key: str) -> None:
    assert is_large({key: Unread([{}] * 10_000)}, wire_format)
