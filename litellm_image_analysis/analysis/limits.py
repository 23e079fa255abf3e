"""Compare a request with the limits in the settings, before it is copied, hashed or sent.

Each function returns the error for the response, or ``None``. The error names the place, the limit, its setting and
the actual value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from litellm_image_analysis.errors import RequestError

if TYPE_CHECKING:
    from litellm_image_analysis.config import ImageAnalysisConfig
    from litellm_image_analysis.request import Body, FoundImage, WireFormat

_LEVELS_COUNTED_ABOVE_THE_LIMIT = 1000
_VALUES_READ_ON_AN_EVENT_LOOP = 10_000
_CHARACTERS_LIKE_A_VALUE = 200


def check_count(body: Body, wire_format: WireFormat, config: ImageAnalysisConfig) -> RequestError | None:
    """Compare the number of messages with the limit.

    Args:
        body: the request.
        wire_format: its wire format.
        config: the limits.
    """
    messages = body.get(wire_format.CONTENT[-1])
    if isinstance(messages, list) and len(messages) > config.max_messages:
        return RequestError(
            f"{wire_format.CONTENT[-1]}: there are {len(messages):,}, the limit is {config.max_messages:,} (setting"
            " max_messages). Send fewer, or begin a new conversation.",
            param=wire_format.CONTENT[-1],
            code="too_many_messages",
        )
    return None


def check_shape(body: Body, wire_format: WireFormat, config: ImageAnalysisConfig) -> RequestError | None:
    """Compare the number of messages and their nesting depth with the limits, before the messages are read.

    Args:
        body: the request.
        wire_format: its wire format.
        config: the limits.
    """
    exceeded = check_count(body, wire_format, config)
    if exceeded is not None:
        return exceeded
    for key in wire_format.CONTENT:
        depth = _depth(body.get(key), config.max_nesting_depth + _LEVELS_COUNTED_ABOVE_THE_LIMIT)
        if depth > config.max_nesting_depth:
            return RequestError(
                f"{key}: objects and lists are nested at least {depth:,} levels deep, the limit is"
                f" {config.max_nesting_depth:,} (setting max_nesting_depth). Send a flatter request.",
                param=key,
                code="nested_too_deeply",
            )
    return None


def is_large(body: Body, wire_format: WireFormat) -> bool:
    """Return whether a request has so many values or characters that it takes more than a few milliseconds to read."""
    left = [body.get(key) for key in wire_format.CONTENT]
    count = 0
    while left and count < _VALUES_READ_ON_AN_EVENT_LOOP:
        value = left.pop()
        count += 1
        if isinstance(value, str):
            count += len(value) // _CHARACTERS_LIKE_A_VALUE
        elif isinstance(value, (dict, list)):
            count += len(value)
            if count < _VALUES_READ_ON_AN_EVENT_LOOP:  # a list of a million values is not copied
                left += value.values() if isinstance(value, dict) else value
    return count >= _VALUES_READ_ON_AN_EVENT_LOOP


def check_sizes(found: Sequence[FoundImage], config: ImageAnalysisConfig) -> RequestError | None:
    """Compare the number of image parts, their sizes in bytes, and the lengths of URLs and ids with the limits."""
    if len(found) > config.max_image_parts:
        return RequestError(
            f"The request has {len(found):,} image parts, the limit is {config.max_image_parts:,} (setting"
            " max_image_parts). Send fewer, or begin a new conversation.",
            code="too_many_images",
        )
    total = 0
    for image in found:
        if image.source is None:
            continue
        encoded_bytes, characters = image.source.encoded_bytes, image.source.name_characters
        if encoded_bytes > config.max_image_bytes:
            return _too_large(
                f"{image.place}: the image is {encoded_bytes:,} bytes encoded, the limit is"
                f" {config.max_image_bytes:,} (setting max_image_bytes). Send a smaller image.",
                image.place,
            )
        if characters > config.max_url_characters:
            return RequestError(
                f"{image.place}: the image's URL or file id has {characters:,} characters, the limit"
                f" is {config.max_url_characters:,} (setting max_url_characters). Send a shorter one, or the image.",
                param=image.place,
                code="url_too_long",
            )
        total += encoded_bytes
    if total > config.max_total_image_bytes:
        return _too_large(
            f"The request's images are {total:,} bytes encoded, the limit is {config.max_total_image_bytes:,}"
            " (setting max_total_image_bytes). Send fewer or smaller images, or begin a new conversation.",
            None,
        )
    return None


def check_pixels(found: Sequence[FoundImage], config: ImageAnalysisConfig) -> RequestError | None:
    """Compare the sizes of the images in pixels with the limit."""
    for image in found:
        if image.source is None or not _has_more_pixels(image.source.size, config):
            continue
        size = image.source.standard().size  # that of another spelling may be wrong
        if size is not None and _has_more_pixels(size, config):
            return _too_large(
                f"{image.place}: the image has {size[0]:,} x {size[1]:,} = {size[0] * size[1]:,} pixels, the limit is"
                f" {config.max_image_pixels:,} (setting max_image_pixels). Send a smaller image.",
                image.place,
            )
    return None


def _has_more_pixels(size: tuple[int, int] | None, config: ImageAnalysisConfig) -> bool:
    return size is not None and size[0] * size[1] > config.max_image_pixels


def _depth(value: object, most: int) -> int:
    """Return the nesting depth of lists and objects, at most ``most``. Not recursive, so any depth is possible."""
    level = [value] if isinstance(value, (dict, list)) else []
    depth = 0
    while level and depth < most:
        depth += 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
    return depth


def _too_large(message: str, param: str | None) -> RequestError:
    return RequestError(message, status_code=413, param=param, code="image_too_large")
