"""One image source: its kind, bytes, digest, size and flaws."""

from __future__ import annotations

import base64
import hashlib

import ada_url
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.images import png_header
from support.strategies import texts

from litellm_image_analysis.request.file_types import MEDIA_TYPES
from litellm_image_analysis.request.image import LARGE_CHARACTERS, Flaw, Holder, ImageSource
from litellm_image_analysis.request.urls import public_host

PNG = "data:image/png;base64,"

sources = st.builds(ImageSource, texts, detail=st.none() | texts, format=st.none() | texts)


def image_of(size: int, mark: str = "A") -> ImageSource:
    """An inline image that takes ``size`` bytes of the request."""
    return ImageSource(PNG + mark * (size - len(PNG)))


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("data:image/png;base64,AAAA", "inline"),
        ("DATA:IMAGE/PNG;BASE64,AAAA", "inline"),
        ("data:image/svg+xml;base64,AAAA", "inline"),
        ("Data:image/svg+xml,<svg/>", "unsupported"),
        ("data:image/png,AAAA", "unsupported"),
        ("data:image/png;charset=utf-8;base64,AAAA", "inline"),
        ("data:image/png;name=cat 1.png;charset=utf-8;base64,AAAA", "inline"),
        (" \ndata:image/png;base64,AAAA", "inline"),
        ("data:;base64,AAAA", "inline"),
        ("data:png;base64,AAAA", "inline"),
        ("data:image/png;base64", "unsupported"),
        ("data:image/;base64,AAAA", "inline"),
        ("data:image/png ;base64,AAAA", "unsupported"),
        ("data: image/png;base64,AAAA", "unsupported"),
        ("data:image/p\u017fd;base64,AAAA", "inline"),
        ("data:text/html;base64,data:image/png;base64,AAAA", "inline"),
        ("http\u017f://images.example.com/cat.png", "unsupported"),
        ("http://images.example.com/cat.png", "remote"),
        ("HTTPS://images.example.com/cat.png", "remote"),
        ("data:application/pdf;base64,AAAA", "inline"),
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
        ("HTTPS://GenerativeLanguage.googleapis.com/v1beta/files/abc", None, "gemini", "held"),
        ("https://generativelanguage.googleapis.com:443/v1beta/files/abc", None, "gemini", "held"),
        ("http://generativelanguage.googleapis.com?files/abc", None, "gemini", "held"),
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


GEMINI = "generativelanguage.googleapis.com"


@given(
    st.sampled_from(["https://", "http://", "HTTPS://", "https:/", "https:\\\\"]),
    st.sampled_from(["", "", "a@", f"{GEMINI}@", f"{GEMINI}:80@", f"{GEMINI}\\@", f"{GEMINI}?@"]),
    st.sampled_from(
        [GEMINI, GEMINI.upper(), GEMINI.title(), f"{GEMINI}.", f"{GEMINI}.evil.net", f"evil{GEMINI}", "evil.net"]
    ),
    st.text(":/?#@\\.8\t%", max_size=4),
)
def test_a_gemini_file_has_the_host_that_browsers_read(scheme: str, user: str, host: str, rest: str) -> None:
    """In another spelling, a URL of this host does not count as an ordinary URL."""
    url = f"{scheme}{user}{host}{rest}"
    if ImageSource.referenced(url).holder == "gemini":
        assert not ada_url.check_url(url) or ada_url.URL(url).hostname == GEMINI
    else:
        assert public_host(url) != GEMINI


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
        ("image/png", "ab\r\ncd\n", "data:image/png;base64,abcd", "inline"),
        ("image/png", "abcdAA", "data:image/png;base64,abcdAA==", "inline"),
        ("image/png", "abcdAA=", "data:image/png;base64,abcdAA==", "inline"),
        ("image/png", "abcdAB", "data:image/png;base64,abcdAB", "inline"),
        ("IMAGE/PNG", "abcd", "data:image/png;base64,abcd", "inline"),
        ("application/octet-stream", "abcd", "data:application/octet-stream;base64,abcd", "inline"),
        ("image/png;base64,AAAA", "abcd", "data:image/png;base64,abcd", "inline"),
        ("image/png\n", "abcd", "data:image/png;base64,abcd", "inline"),
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


@pytest.mark.parametrize("media_type", ["image/png", "application/octet-stream"])
def test_an_encoded_image_weighs_what_it_takes_as_a_data_uri(media_type: str) -> None:
    image = ImageSource.encoded(media_type, "ab-_")
    assert image.encoded_bytes == len(image.url)


def test_an_image_behind_a_url_weighs_nothing_but_has_a_long_name() -> None:
    image = ImageSource("https://images.example.com/cat.png")
    assert (image.encoded_bytes, image.name_characters) == (0, 34)


@pytest.mark.parametrize("url", ["ftp://images.example.com/cat.png", "data:application/pdf;base64,AAAA", "data:,A"])
def test_what_is_of_no_use_weighs_what_it_is_long(url: str) -> None:
    assert (ImageSource(url).encoded_bytes, ImageSource(url).name_characters) == (len(url), 0)


def test_nothing_is_copied_before_it_is_asked_for() -> None:
    """Limits are checked first. Otherwise half of a request of 50 MB would be copied."""
    payload = "ab-_" * 1000
    image = ImageSource.encoded("image/png", payload)
    assert (image.kind, image.encoded_bytes, image.size) == ("inline", 4022, None)
    assert image.reference is payload
    assert "url" not in vars(image)


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
        patch.setattr("litellm_image_analysis.request.image.LARGE_CHARACTERS", piece)
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


PIXEL = base64.b64encode(png_header(640, 480)).decode()
SVG = base64.b64encode(b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>').decode()
HTML = base64.b64encode(b"<!doctype html><script>alert(1)</script>").decode()


def flaw_of(media_type: str, payload: str) -> Flaw | None:
    """The flaw of an image. It is the same for a data: URI and for base64 with a type."""
    as_uri, apart = ImageSource(f"data:{media_type};base64,{payload}"), ImageSource.encoded(media_type, payload)
    assert as_uri.flaw == apart.flaw
    return as_uri.flaw


@pytest.mark.parametrize("media_type", ["image/png", "IMAGE/PNG", "image/Png"])
def test_an_intact_image_has_no_flaw(media_type: str) -> None:
    assert flaw_of(media_type, PIXEL) is None
    assert ImageSource.encoded(media_type, PIXEL).size == (640, 480)


@pytest.mark.parametrize(
    "media_type", ["image/svg+xml", "image/svg", "image/x-icon", "image/vnd.adobe.photoshop", "image/x", "image/pngx"]
)
@pytest.mark.parametrize("payload", [SVG, HTML])
def test_a_type_that_is_not_looked_at(media_type: str, payload: str) -> None:
    assert flaw_of(media_type, payload) == "unsupported_type"


@pytest.mark.parametrize("media_type", ["application/pdf", "text/html", "video/mp4", "png/image"])
@pytest.mark.parametrize("payload", [PIXEL, SVG, HTML])
def test_what_is_declared_as_no_image_is_none(media_type: str, payload: str) -> None:
    assert flaw_of(media_type, payload) == "unsupported_type"
    assert not ImageSource.encoded(media_type, payload).is_image


@pytest.mark.parametrize("media_type", ["", "*/*", "application/octet-stream", "APPLICATION/OCTET-STREAM"])
def test_a_type_that_says_nothing_leaves_it_to_the_bytes(media_type: str) -> None:
    assert flaw_of(media_type, PIXEL) is None
    assert ImageSource.encoded(media_type, PIXEL).is_image
    assert flaw_of(media_type, HTML) == "unsupported_type"
    assert not ImageSource.encoded(media_type, HTML).is_image


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
@pytest.mark.parametrize("payload", [SVG, HTML, "JVBERi0xLjQ=", "UEsDBBQA", "AAAA"])
def test_what_is_no_image_is_not_taken_for_one_whatever_it_is_declared_as(media_type: str, payload: str) -> None:
    assert flaw_of(media_type, payload) == "mislabelled"


WRONG = [name for name, file_format in MEDIA_TYPES.items() if file_format != "PNG"]


@pytest.mark.parametrize(
    "media_type",
    [*WRONG, "image/*", "image/pjpeg", "image/x-png", "", "application/octet-stream", "png", "JPG", "image/"],
)
def test_the_type_of_the_bytes_is_sent_on(media_type: str) -> None:
    assert flaw_of(media_type, PIXEL) is None
    for source in (ImageSource.encoded(media_type, PIXEL), ImageSource(f"data:{media_type};base64,{PIXEL}")):
        assert (source.url, source.is_image) == (f"{PNG}{PIXEL}", True)
        assert source.digest == ImageSource(f"{PNG}{PIXEL}").digest


@pytest.mark.parametrize("head", ["data:image/png;charset=utf-8;name=a b.png;base64,", " data:image/png;base64,"])
def test_a_head_is_cleaned(head: str) -> None:
    source = ImageSource(f"{head}{PIXEL}")
    assert (source.url, source.flaw, source.size) == (f"{PNG}{PIXEL}", None, (640, 480))


@given(st.data())
def test_line_breaks_and_missing_padding_are_mended(data: st.DataObject) -> None:
    content = png_header(640, 480) + data.draw(st.binary(max_size=5))
    whole = base64.b64encode(content).decode()
    broken = "".join(
        f"{data.draw(st.sampled_from(['', '', '', chr(10), chr(13) + chr(10), ' ', chr(9)]))}{sign}" for sign in whole
    )
    for payload in (broken, broken.rstrip("="), base64.urlsafe_b64encode(content).decode().rstrip("=")):
        for source in (ImageSource(PNG + payload), ImageSource.encoded("image/png", payload)):
            assert (source.url, source.flaw, source.size) == (PNG + whole, None, (640, 480))


@pytest.mark.parametrize(
    "payload",
    [
        "",
        PIXEL[:-1],
        PIXEL[:-4] + "AA==" + PIXEL[-4:],
        PIXEL + "A",
        PIXEL[:40] + "\r\n" + PIXEL[40:] + "AB",
        PIXEL + "\vAAA",
        PIXEL + "A===",
        PIXEL + "====",
        PIXEL + "AA%3",
        PIXEL + "AA\u0661A",
        PIXEL + "AA\ud800A",
        PIXEL + "\0AAA",
        PIXEL + "#AAA",
        PIXEL[:20],
    ],
)
def test_data_that_two_decoders_might_read_differently_or_that_tells_no_size(payload: str) -> None:
    assert flaw_of("image/png", payload) == "damaged"


def test_one_bad_character_anywhere_in_a_large_image_is_seen() -> None:
    good = f"data:image/png;base64,{PIXEL}{'A' * (2 * LARGE_CHARACTERS)}"
    assert ImageSource(good).flaw is None
    for place in (len(good) - 1, len(good) - 2, LARGE_CHARACTERS + 23, LARGE_CHARACTERS, 100):
        assert ImageSource(f"{good[:place]}!{good[place + 1 :]}").flaw == "damaged", place


@pytest.mark.parametrize("media_type", ["image/png", "image/bmp"])
def test_the_url_safe_alphabet_is_sent_on_as_the_standard_one(media_type: str) -> None:
    """This holds for base64 with a type and for a ``data:`` URI."""
    sent_on = f"{PNG}{PIXEL}ab+/"
    assert ImageSource.encoded(media_type, f"{PIXEL}ab-_").url == sent_on
    assert ImageSource(f"data:{media_type};base64,{PIXEL}ab-_").url == sent_on
    assert ImageSource(f"data:{media_type};base64,{PIXEL}ab-_").digest == ImageSource(sent_on).digest


def test_the_url_safe_alphabet_is_no_flaw() -> None:
    assert flaw_of("image/png", f"{PIXEL}ab-_") is None


@pytest.mark.parametrize("url", ["https://images.example.com/a-cat_1.png", "data:text/plain,a-_"])
def test_other_references_keep_their_letters(url: str) -> None:
    assert ImageSource(url).url == url


@pytest.mark.parametrize("url", ["https://images.example.com/cat.png", "ftp://x", "data:image/svg+xml,<svg/>"])
def test_only_images_that_are_sent_along_have_flaws(url: str) -> None:
    assert (ImageSource(url).flaw, ImageSource(url).size) == (None, None)


@given(st.text(st.characters(), max_size=60), st.sampled_from([*MEDIA_TYPES, "image/svg+xml"]))
@example("0000000_", "image/png")
def test_no_data_is_too_odd(payload: str, media_type: str) -> None:
    assert flaw_of(media_type, payload) in ("unsupported_type", "damaged", "mislabelled")


@pytest.mark.parametrize(
    ("head", "usual"),
    [
        ("data:image/png;BASE64,", "data:image/png;base64,"),
        ("DATA:Image/PNG;base64,", "data:image/png;base64,"),
        ("data:image/jpg;base64,", "data:image/jpeg;base64,"),
        ("data:image/x-ms-bmp;base64,", "data:image/bmp;base64,"),
    ],
)
def test_a_header_is_written_as_providers_and_litellm_know_it(head: str, usual: str) -> None:
    """For some providers, LiteLLM splits it at ``;base64,``. They do not know ``image/jpg``."""
    payload = {"jpeg": "/9j/", "bmp": "Qk0A"}.get(usual[11:].partition(";")[0], PIXEL)
    assert ImageSource(f"{head}{payload}").url == f"{usual}{payload}"
    assert ImageSource(f"{head}{payload}ab-_").url == f"{usual}{payload}ab+/"
    assert ImageSource.encoded(head[5:].partition(";")[0], payload).url == f"{usual}{payload}"
    assert ImageSource(f"{head}{payload}").digest == ImageSource(f"{usual}{payload}").digest


def test_an_image_with_an_unusual_header_has_no_other_flaws() -> None:
    assert ImageSource(f"data:image/png;BASE64,{PIXEL}").flaw is None
    assert ImageSource(f"data:image/png;BASE64,{PIXEL}!").flaw == "damaged"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("low", "low"), ("high", "high"), ("auto", None), ("LOW", None), ("x" * 10**6, None)],
)
def test_a_detail_that_no_provider_knows_is_left_out(sent: str | None, kept: str | None) -> None:
    assert ImageSource.referenced("https://x.example/a.png", sent).detail == kept


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("image/png", "image/png"), ("IMAGE/JPG", "image/jpeg"), ("image/odd", None), ("x" * 10**6, None)],
)
def test_a_format_that_no_provider_knows_is_left_out(sent: str, kept: str | None) -> None:
    assert ImageSource.referenced("https://x.example/a", format=sent).format == kept
