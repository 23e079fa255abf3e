"""One image source: its kind, weight and identity, whether it may be fetched, and the limits of a request."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.strategies import texts

from litellm_image_analysis.config import ImageAnalysisConfig
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.images import (
    LARGE_CHARACTERS,
    Holder,
    ImageSource,
    check_count,
    check_sizes,
    may_be_fetched,
)

PNG = "data:image/png;base64,"

sources = st.builds(ImageSource, texts, detail=st.none() | texts, format=st.none() | texts)


def image_of(size: int, mark: str = "A") -> ImageSource:
    """An inline image that takes ``size`` bytes of the request."""
    return ImageSource(PNG + mark * (size - len(PNG)))


def exceeded(*images: ImageSource, **limits: Any) -> RequestError | None:
    placed = [(image, f"messages[0].content[{index}]") for index, image in enumerate(images)]
    config = ImageAnalysisConfig(**limits)
    return check_sizes(placed, config) or check_count(images, config)


def rejected(*images: ImageSource, **limits: Any) -> RequestError:
    error = exceeded(*images, **limits)
    assert error is not None
    return error


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("data:image/png;base64,AAAA", "inline"),
        ("DATA:IMAGE/PNG;BASE64,AAAA", "inline"),
        ("Data:image/svg+xml,<svg/>", "inline"),
        ("http://images.example.com/cat.png", "remote"),
        ("HTTPS://images.example.com/cat.png", "remote"),
        ("data:application/pdf;base64,AAAA", "unsupported"),
        ("data:text/plain,data:image/png", "unsupported"),
        ("data:,", "unsupported"),
        ("ftp://images.example.com/cat.png", "unsupported"),
        ("file:///etc/passwd", "unsupported"),
        ("gs://bucket/cat.png", "unsupported"),
        ("//images.example.com/cat.png", "unsupported"),
        (" https://images.example.com/cat.png", "unsupported"),
        ("https:images.example.com", "unsupported"),
        ("AAAA", "unsupported"),
        ("", "unsupported"),
    ],
)
def test_kind(url: str, kind: str) -> None:
    assert ImageSource(url).kind == kind


@pytest.mark.parametrize(
    ("reference", "named", "holder", "kind"),
    [
        ("gs://bucket/cat.png", None, "vertex_ai", "held"),
        ("gs://bucket/cat.png", "openai", "vertex_ai", "held"),
        ("https://generativelanguage.googleapis.com/v1beta/files/abc", None, "gemini", "held"),
        ("https://generativelanguage.googleapis.com.evil.net/files/abc", None, None, "remote"),
        ("https://images.example.com/cat.png", None, None, "remote"),
        ("https://images.example.com/cat.png", "openai", None, "remote"),
        ("data:image/png;base64,AAAA", "openai", None, "inline"),
        ("file-abc", "openai", "openai", "held"),
        ("file_011C", "anthropic", "anthropic", "held"),
        ("file-abc", None, None, "unsupported"),
        ("s3://bucket/cat.png", "openai", None, "unsupported"),
        ("AAAA", None, None, "unsupported"),
    ],
)
def test_a_reference_tells_who_holds_the_image(
    reference: str, named: Holder | None, holder: Holder | None, kind: str
) -> None:
    source = ImageSource.referenced(reference, holder=named)
    assert (source.url, source.holder, source.kind) == (reference, holder, kind)


def test_a_reference_keeps_its_hints() -> None:
    source = ImageSource.referenced("file-abc", "low", "image/png", "openai")
    assert source == ImageSource("file-abc", "low", "image/png", "openai")


@pytest.mark.parametrize(
    ("media_type", "payload", "url", "kind"),
    [
        ("image/png", "ab+/cd==", "data:image/png;base64,ab+/cd==", "inline"),
        ("image/png", "ab-_cd==", "data:image/png;base64,ab+/cd==", "inline"),
        ("image/png", "ab-cd", "data:image/png;base64,ab+cd", "inline"),
        ("image/png", "ab_cd", "data:image/png;base64,ab/cd", "inline"),
        ("IMAGE/PNG", "abcd", "data:IMAGE/PNG;base64,abcd", "inline"),
        ("application/octet-stream", "abcd", "data:application/octet-stream;base64,abcd", "unsupported"),
    ],
)
def test_an_encoded_image_is_a_data_uri(media_type: str, payload: str, url: str, kind: str) -> None:
    source = ImageSource.encoded(media_type, payload)
    assert (source.url, source.kind, source.format, source.holder) == (url, kind, None, None)


@given(st.binary(max_size=60))
def test_both_alphabets_of_base64_are_the_same_image(content: bytes) -> None:
    standard = ImageSource.encoded("image/png", base64.b64encode(content).decode())
    url_safe = ImageSource.encoded("image/png", base64.urlsafe_b64encode(content).decode())
    assert standard.digest == url_safe.digest
    assert base64.b64decode(url_safe.url.partition(",")[2], validate=True) == content


def test_an_image_that_is_held_weighs_nothing() -> None:
    assert ImageSource("data:image/png;base64,AAAA", holder="openai").encoded_bytes == 0


def test_an_inline_image_weighs_what_it_takes_of_the_request() -> None:
    assert image_of(1000).encoded_bytes == 1000


@pytest.mark.parametrize("url", ["https://images.example.com/cat.png", "ftp://images.example.com/cat.png"])
def test_an_image_that_is_not_in_the_request_weighs_nothing(url: str) -> None:
    assert ImageSource(url).encoded_bytes == 0


@pytest.mark.parametrize(
    "other",
    [
        ImageSource("data:image/png;base64,BBBB", "high", "image/png"),
        ImageSource("data:image/png;base64,AAAA", "low", "image/png"),
        ImageSource("data:image/png;base64,AAAA", None, "image/png"),
        ImageSource("data:image/png;base64,AAAA", "high", "image/webp"),
        ImageSource("data:image/png;base64,AAAA", "high", None),
        ImageSource("data:image/png;base64,AAAA", "image/png", "high"),
        ImageSource("data:image/png;base64,AAAA", "high", "image/png", "openai"),
    ],
)
def test_what_tells_images_apart_tells_their_digests_apart(other: ImageSource) -> None:
    assert other.digest != ImageSource("data:image/png;base64,AAAA", "high", "image/png").digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ImageSource("data:,", "low", "png"), ImageSource("data:,", "lo", "wpng")),
        (ImageSource("data:,", "low"), ImageSource("wdata:,", "lo")),
        (ImageSource("data:,", "low", "png"), ImageSource("gdata:,", "low", "pn")),
        (ImageSource("data:,", None), ImageSource("data:,", "None")),
        (ImageSource("data:,", ""), ImageSource("data:,", None)),
        (ImageSource("file-1", None, None, "openai"), ImageSource("file-1", None, None, "anthropic")),
    ],
)
def test_what_tells_images_apart_does_not_run_together(one: ImageSource, other: ImageSource) -> None:
    assert one.digest != other.digest


@given(sources)
def test_the_same_image_has_the_same_digest_every_time(source: ImageSource) -> None:
    assert ImageSource(source.url, source.detail, source.format).digest == source.digest


@given(
    st.text(st.characters(), max_size=40),
    st.integers(1, 12),
    st.none() | texts,
    st.none() | texts,
    st.sampled_from([None, "openai", "gemini"]),
)
@example("\ud83d\ude00" * 5, 1, None, None, None)
def test_a_digest_made_in_pieces_is_the_digest_of_the_whole(
    url: str, piece: int, detail: str | None, media_type: str | None, holder: Holder | None
) -> None:
    head = f"{detail!r} {media_type!r} {holder!r} "
    whole = hashlib.sha256((head + url).encode("utf-8", "surrogatepass")).hexdigest()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("litellm_image_analysis.images.LARGE_CHARACTERS", piece)
        assert ImageSource(url, detail, media_type, holder).digest == whole


@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_images_as_large_as_a_piece_and_larger_differ_by_their_last_character(beyond: int) -> None:
    image = image_of(LARGE_CHARACTERS + beyond)
    other = ImageSource(image.url[:-1] + "B")
    assert image.digest == ImageSource(image.url).digest
    assert image.digest != other.digest


def test_a_digest_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    image = image_of(1000)
    digest = image.digest
    monkeypatch.setattr("hashlib.sha256", None)
    assert image.digest == digest


@pytest.mark.parametrize(
    ("source", "may_change"),
    [
        (ImageSource("data:image/png;base64,AAAA"), False),
        (ImageSource("https://images.example.com/cat.png"), True),
        (ImageSource("HTTP://images.example.com/cat.png"), True),
        (ImageSource.referenced("gs://bucket/cat.png"), True),
        (ImageSource.referenced("https://generativelanguage.googleapis.com/v1beta/files/abc"), False),
        (ImageSource("file-abc", holder="openai"), False),
        (ImageSource("file_011C", holder="anthropic"), False),
    ],
)
def test_only_what_is_behind_a_name_that_others_can_fill_anew_may_change(source: ImageSource, may_change: bool) -> None:
    assert source.may_change is may_change


@pytest.mark.parametrize(("remote_urls", "allowed"), [("pass", True), ("reject", False)])
def test_without_an_allowlist_the_host_does_not_matter(remote_urls: Any, allowed: bool) -> None:
    config = ImageAnalysisConfig(remote_urls=remote_urls)
    assert may_be_fetched(ImageSource("https://images.example.com/cat.png"), config) is allowed


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://images.example.com/cat.png", True),
        ("http://images.example.com", True),
        ("HTTPS://IMAGES.Example.COM/cat.png", True),
        ("https://images.example.com:8443/cat.png", True),
        ("https://user:secret@images.example.com/cat.png", True),
        ("https://cdn.example.com/cat.png", True),
        ("https://images.example.com?cat", True),
        ("https://example.com/cat.png", False),
        ("https://other.images.example.com/cat.png", False),
        ("https://images.example.com.evil.net/cat.png", False),
        ("https://evilimages.example.com/cat.png", False),
        ("https://evil.net/images.example.com", False),
        ("https://images.example.com@evil.net/cat.png", False),
        ("https://images.example.com:443@evil.net/cat.png", False),
        ("https://evil.net#@images.example.com/", False),
        ("https://evil.net?@images.example.com/", False),
        ("https://images.example.com%2eevil.net/", False),
        ("https://images.example.com\n.evil.net/", False),
        ("https:///cat.png", False),
        ("https://", False),
        ("https://[::1", False),
        ("https://images.example.com/a cat.png", False),
        ("https://169.254.169.254/latest", False),
    ],
)
def test_an_allowlist_lets_only_its_hosts_pass(url: str, allowed: bool) -> None:
    config = ImageAnalysisConfig(remote_urls="allowlist", allowed_url_hosts=("images.example.com", "CDN.example.com"))
    assert may_be_fetched(ImageSource(url), config) is allowed


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.net\\@images.example.com/cat.png",
        "https://evil.net\\\\@images.example.com/cat.png",
        "https://evil.net\t\\@images.example.com/cat.png",
    ],
)
def test_a_url_that_browsers_and_python_read_differently_is_not_allowed(url: str) -> None:
    """WHATWG parsers end the host at the backslash: whoever fetches it would ask evil.net (CVE-2026-25960)."""
    config = ImageAnalysisConfig(remote_urls="allowlist", allowed_url_hosts=("images.example.com",))
    assert not may_be_fetched(ImageSource(url), config)


@given(st.text(alphabet="images.example.com/\\@:#?%[]\t\n\0 ü。", max_size=40))
def test_no_url_is_too_odd_for_the_allowlist(rest: str) -> None:
    config = ImageAnalysisConfig(remote_urls="allowlist", allowed_url_hosts=("images.example.com",))
    assert may_be_fetched(ImageSource(f"https://{rest}"), config) in (True, False)


def test_a_request_within_all_limits_passes() -> None:
    images = [image_of(1000, "A"), image_of(1000, "B")]
    assert exceeded(*images, max_images=2, max_image_bytes=1000, max_request_image_bytes=2000) is None


def test_a_request_without_images_passes() -> None:
    assert exceeded(max_images=1) is None


def test_an_image_that_is_too_large_is_named_with_its_size_the_limit_and_the_setting() -> None:
    error = rejected(image_of(1000), image_of(2001), max_image_bytes=2000)
    assert (error.status_code, error.code) == (413, "image_too_large")
    assert error.param == "messages[0].content[1]"
    assert error.message == (
        "messages[0].content[1]: the image is 2,001 bytes encoded, the limit is 2,000 (setting max_image_bytes)."
        " Send a smaller image."
    )


def test_images_that_are_too_large_together_are_told_their_sum() -> None:
    error = rejected(image_of(2000), image_of(2000), max_request_image_bytes=3000)
    assert (error.status_code, error.code, error.param) == (413, "image_too_large", None)
    assert error.message == (
        "The request's images are 4,000 bytes encoded, the limit is 3,000 (setting max_request_image_bytes)."
        " Send fewer or smaller images."
    )


def test_too_many_images_are_told_their_number() -> None:
    error = rejected(*(image_of(100, mark) for mark in "ABC"), max_images=2)
    assert (error.status_code, error.code, error.param) == (400, "too_many_images", None)
    assert error.message == (
        "The request holds 3 different images, the limit is 2 (setting max_images). Send fewer images."
    )


def test_an_image_that_is_repeated_counts_once() -> None:
    assert exceeded(*[image_of(100)] * 5, max_images=1) is None


def test_an_image_with_another_hint_is_another_image() -> None:
    image = image_of(100)
    assert rejected(image, ImageSource(image.url, "low"), max_images=1).code == "too_many_images"


@given(st.lists(st.sampled_from("ABCD"), max_size=8), st.integers(1, 5))
def test_as_many_different_images_pass_as_are_allowed(marks: list[str], max_images: int) -> None:
    images = [image_of(100, mark) for mark in marks]
    assert (exceeded(*images, max_images=max_images) is None) is (len(set(marks)) <= max_images)


def test_nothing_is_hashed_before_its_size_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hashlib.sha256", None)
    image = image_of(2001)
    assert rejected(image, max_image_bytes=2000).code == "image_too_large"


def test_remote_images_count_but_weigh_nothing() -> None:
    images = [ImageSource(f"https://images.example.com/{'x' * 2000}/{number}.png") for number in range(2)]
    assert exceeded(*images, max_image_bytes=1000, max_request_image_bytes=1000) is None
    assert rejected(*images, max_images=1).code == "too_many_images"
