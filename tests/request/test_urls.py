"""URLs that plainly name a public host. All wire formats use the same check."""

# ruff: noqa: RUF001 - the tests need characters that look like others

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any, ClassVar
from urllib.parse import urlsplit

import ada_url
import httpx
import pytest
import yarl
from hypothesis import example, given
from hypothesis import strategies as st
from support.strategies import thorough

from litellm_image_analysis.analysis.outcomes import Failed, FailureReason
from litellm_image_analysis.analysis.plan import make_plan
from litellm_image_analysis.analysis.tenant import Tenant
from litellm_image_analysis.config import ImageAnalysisConfig
from litellm_image_analysis.request import WireFormat, chat, generate_content, messages, responses
from litellm_image_analysis.request.urls import canonical_host, plain_host, public_host

LOOPBACK = [
    "http://127.0.0.1/x.png",
    "http://127.0.0.1:8080/x.png",
    "HTTP://127.0.0.1/x.png",
    "http://127.1/x.png",
    "http://127.0.1/x.png",
    "http://2130706433/x.png",
    "http://0x7f000001/x.png",
    "http://0X7F.0x0.0x0.0x1/x.png",
    "http://017700000001/x.png",
    "http://0177.0.0.1/x.png",
    "http://0177.0x0.0.1/x.png",
    "http://127.0.0.1./x.png",
    "http://127.000.000.001/x.png",
    "http://0/x.png",
    "http://0.0.0.0/x.png",
    "http://127.127.127.127/x.png",
    "http://4294967296/x.png",
    "http://256.256.256.256/x.png",
    "http://1.2.3.4.5/x.png",
    "http://localhost/x.png",
    "http://LOCALHOST/x.png",
    "http://localhost./x.png",
    "http://localhost:4000/x.png",
    "http://foo.localhost/x.png",
    "http://localhost.localdomain/x.png",
    "http://localtest.me/x.png",
    "http://127.0.0.1.nip.io/x.png",
    "http://7f000001.rbndr.us/x.png",
]
PRIVATE = [
    "http://10.0.0.1/x.png",
    "http://10.1/x.png",
    "http://172.16.0.1/x.png",
    "http://172.31.255.254/x.png",
    "http://192.168.1.1/x.png",
    "http://100.64.0.1/x.png",
    "http://198.18.0.1/x.png",
    "http://192.0.2.1/x.png",
    "http://192.0.0.192/x.png",
    "http://192.88.99.1/x.png",
    "http://224.0.0.1/x.png",
    "http://240.0.0.1/x.png",
    "http://255.255.255.255/x.png",
    "http://router/x.png",
    "http://printer.local/x.png",
    "http://nas.lan/x.png",
    "http://wiki.corp/x.png",
    "http://host.docker.internal/x.png",
    "http://kubernetes.default.svc/x.png",
    "http://kubernetes.default.svc.cluster.local/x.png",
    "http://vault.service.consul/x.png",
    "http://router.home.arpa/x.png",
    "http://1.0.0.127.in-addr.arpa/x.png",
]
METADATA = [
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.43518/latest/meta-data/",
    "http://2852039166/latest/meta-data/",
    "http://0xa9fea9fe/latest/meta-data/",
    "http://0251.0376.0251.0376/latest/meta-data/",
    "http://169.254.169.254.nip.io/latest/meta-data/",
    "http://[::ffff:169.254.169.254]/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://100.100.100.200/latest/meta-data/",
    "http://168.63.129.16/machine",
    "http://metadata/computeMetadata/v1/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://METADATA.google.internal./computeMetadata/v1/",
    "http://metadata.goog/computeMetadata/v1/",
    "http://metadata.tencentyun.com/latest/",
    "http://instance-data.ec2.internal/latest/",
]
IPV6 = [
    "http://[::1]/x.png",
    "http://[::]/x.png",
    "http://[0:0:0:0:0:0:0:1]/x.png",
    "http://[0000::0001]:80/x.png",
    "http://[::ffff:127.0.0.1]/x.png",
    "http://[::ffff:7f00:1]/x.png",
    "http://[::FFFF:8.8.8.8]/x.png",
    "http://[::127.0.0.1]/x.png",
    "http://[::ffff:0:127.0.0.1]/x.png",
    "http://[64:ff9b::127.0.0.1]/x.png",
    "http://[64:ff9b::a9fe:a9fe]/x.png",
    "http://[64:ff9b:1::7f00:1]/x.png",
    "http://[2002:7f00:1::]/x.png",
    "http://[2002:a9fe:a9fe::1]/x.png",
    "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/x.png",
    "http://[2001:db8::1]/x.png",
    "http://[3fff::1]/x.png",
    "http://[100::1]/x.png",
    "http://[5f00::1]/x.png",
    "http://[fc00::1]/x.png",
    "http://[fd12:3456::1]/x.png",
    "http://[fe80::1]/x.png",
    "http://[fe80::1%25eth0]/x.png",
    "http://[fe80::1%eth0]/x.png",
    "http://[2606:4700::1%25lo]/x.png",
    "http://[ff02::1]/x.png",
    "http://[fec0::1]/x.png",
    "http://[::1/x.png",
    "http://::1/x.png",
    "http://[]/x.png",
    "http://[127.0.0.1]/x.png",
    "http://[localhost]/x.png",
    "http://[v1.fe80::a+en1]/x.png",
    "http://[2606:4700::1111].example.com/x.png",
]
UNICODE = [
    "http://１２７.０.０.１/x.png",
    "http://127。0。0。1/x.png",
    "http://127．0．0．1/x.png",
    "http://127｡0｡0｡1/x.png",
    "http://①②⑦.⓪.⓪.①/x.png",
    "http://١٢٧.0.0.1/x.png",
    "http://ｌｏｃａｌｈｏｓｔ/x.png",
    "http://ⓛocalhost/x.png",
    "http://loca\u017fhost.com/x.png",
    "http://local\u00adhost/x.png",
    "http://local\u200bhost.com/x.png",
    "http://\u212aubernetes.example.com/x.png",
    "http://xn--localhost-.com/x.png",
    "http://xn--.example.com/x.png",
    "http://xn--a.example.com/x.png",
    "http://straße.example.com/x.png",
    "http://βόλος.example.com/x.png",
    "http://☃.example.com/x.png",
    "http://images.example.com／.evil.net/x.png",
    "http://images.example.com＠evil.net/x.png",
    "http://images.example.com\u202e/x.png",
    "http://images.example.com/\u202egnp.x",
    "http://images.example.com/\ud800.png",
]
AMBIGUOUS = [
    "http://user:secret@images.example.com/x.png",
    "http://user@images.example.com/x.png",
    "http://@images.example.com/x.png",
    "http://:@images.example.com/x.png",
    "http://images.example.com@127.0.0.1/x.png",
    "http://images.example.com:80@127.0.0.1/x.png",
    "http://127.0.0.1#@images.example.com/x.png",
    "http://images.example.com#@127.0.0.1/x.png",
    "http://127.0.0.1?@images.example.com/x.png",
    "http://images.example.com?@127.0.0.1/x.png",
    "http://127.0.0.1\\@images.example.com/x.png",
    "http://images.example.com\\@127.0.0.1/x.png",
    "http://images.example.com\\.127.0.0.1/x.png",
    "http://\\127.0.0.1/x.png",
    "http:/\\127.0.0.1/x.png",
    "http:\\\\127.0.0.1\\x.png",
    "http:/127.0.0.1/x.png",
    "http:127.0.0.1/x.png",
    "http:///127.0.0.1/x.png",
    "http:////images.example.com/x.png",
    "http://",
    "http:///x.png",
    "http://?x.png",
    "http://:80/x.png",
    "http://127.0.0.1%2f.example.com/x.png",
    "http://%31%32%37.0.0.1/x.png",
    "http://%6c%6f%63%61%6c%68%6f%73%74/x.png",
    "http://127%2e0%2e0%2e1/x.png",
    "http://images.example.com%00.evil.net/x.png",
    "http://images.example.com%2eevil.net/x.png",
    "http://127.0.0.1\t/x.png",
    "http://127.0.\n0.1/x.png",
    "http://images.example.com\n.evil.net/x.png",
    "http://images.example.com/x.png\n",
    "http://images.example.com/x\r\nHost: localhost\r\n.png",
    "http://images.example.com/a cat.png",
    "http://images.example.com/x.png ",
    "http://images.example.com\0/x.png",
    "\thttp://127.0.0.1/x.png",
    " http://127.0.0.1/x.png",
    "ht\ntp://127.0.0.1/x.png",
    "http://images.example.com:0/x.png",
    "http://images.example.com:/x.png",
    "http://images.example.com:00080/x.png",
    "http://images.example.com:65536/x.png",
    "http://images.example.com:99999999999999999999/x.png",
    "http://images.example.com:+80/x.png",
    "http://images.example.com:-80/x.png",
    "http://images.example.com:80:80/x.png",
    "http://images.example.com:8\u0660/x.png",
    "http://images.example.com:http/x.png",
    "http://images.example.com./x.png",
    "http://images..example.com/x.png",
    "http://.images.example.com/x.png",
    "http://-images.example.com/x.png",
    "http://images-.example.com/x.png",
    "http://images.example.c/x.png",
    "http://images.example.com,127.0.0.1/x.png",
    "http://images.example.com;127.0.0.1/x.png",
    "http://127.0.0.1&images.example.com/x.png",
    "http://*.example.com/x.png",
    "http://$HOST.example.com/x.png",
    f"http://{'a' * 64}.example.com/x.png",
    f"http://{'a.' * 130}example.com/x.png",
    f"http://{'ü.' * 130}example.com/x.png",
]
OTHER_SCHEMES = [
    "file:///etc/passwd",
    "ftp://images.example.com/x.png",
    "gopher://127.0.0.1:6379/_INFO",
    "dict://127.0.0.1:11211/stats",
    "ws://images.example.com/x.png",
    "s3://bucket/x.png",
    "jar:http://127.0.0.1!/x.png",
    "javascript:alert(1)",
    "blob:http://127.0.0.1/x",
    "view-source:http://127.0.0.1/",
    "url:http://127.0.0.1/x.png",
    "//127.0.0.1/x.png",
    "http\u017f://127.0.0.1/x.png",
    "127.0.0.1/x.png",
    "data:application/x-sh;base64,PHNjcmlwdD4=",
    "data:image/svg+xml,<svg onload='alert(1)'/>",
    "data:image/svg+xml;base64,PHN2Zy8+",
    "data:application/xhtml+xml;base64,PHN2Zy8+",
]
HOSTILE = [*LOOPBACK, *PRIVATE, *METADATA, *IPV6, *UNICODE, *AMBIGUOUS, *OTHER_SCHEMES]

GOOD = {
    "https://images.example.com/cat.png": "images.example.com",
    "http://images.example.com": "images.example.com",
    "https://images.example.com/": "images.example.com",
    "HTTPS://IMAGES.Example.COM/Cat.PNG": "images.example.com",
    "https://images.example.com:8443/cat.png": "images.example.com",
    "https://images.example.com:65535/cat.png": "images.example.com",
    "https://images.example.com?cat": "images.example.com",
    "https://images.example.com#cat": "images.example.com",
    "https://images.example.com/cat.png?w=1&h=2#:~:text=a": "images.example.com",
    "https://images.example.com/%E7%8C%AB%20%2F.png": "images.example.com",
    "https://images.example.com/größe/猫.png": "images.example.com",
    "https://cdn.example.com/@user/cat@2x.png?mail=a@b.example": "cdn.example.com",
    "https://images.example.com/http://127.0.0.1/cat.png": "images.example.com",
    "https://images.example.com//127.0.0.1/cat.png": "images.example.com",
    "https://images.example.com/a:b;c,d!(e)*'f'[g]{h}|i^j`k~.png": "images.example.com",
    "https://my_bucket.s3.eu-central-1.amazonaws.com/a?X-Amz-Signature=0f": "my_bucket.s3.eu-central-1.amazonaws.com",
    "https://r3---sn-4g5e6nz7.googlevideo.com/x": "r3---sn-4g5e6nz7.googlevideo.com",
    "https://123.example.com/": "123.example.com",
    "https://0x7f.example.com/": "0x7f.example.com",
    "https://localhost.example.com/": "localhost.example.com",
    "https://local.example.com/": "local.example.com",
    "https://mynip.io/": "mynip.io",
    "https://internal.example.com/": "internal.example.com",
    "https://93.184.216.34/cat.png": "93.184.216.34",
    "https://8.8.8.8:8080/cat.png": "8.8.8.8",
    "https://[2606:4700:4700::1111]/cat.png": "[2606:4700:4700::1111]",
    "https://[2606:4700:4700:0:0:0:0:1111]:443": "[2606:4700:4700::1111]",
    "https://[2A00:1450:4001:0830::200E]/": "[2a00:1450:4001:830::200e]",
    "https://bücher.example/cat.png": "xn--bcher-kva.example",
    "https://BÜCHER.example/cat.png": "xn--bcher-kva.example",
    "https://xn--bcher-kva.example/cat.png": "xn--bcher-kva.example",
    "https://XN--BCHER-KVA.example/cat.png": "xn--bcher-kva.example",
    "https://例え.jp/": "xn--r8jz45g.jp",
    "https://пример.рф/": "xn--e1afmkfd.xn--p1ai",
}

Carrier = Callable[[str], dict[str, Any]]


def said(key: str, *content: dict[str, Any]) -> dict[str, Any]:
    """A request with one message of the user."""
    return {key: [{"role": "user", "content": list(content)}]}


def anthropic_s(url: str) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "url", "url": url}}


def google_s(url: str) -> dict[str, Any]:
    return {"fileData": {"mimeType": "image/png", "fileUri": url}}


CARRIERS: dict[str, tuple[WireFormat, list[Carrier]]] = {
    "chat": (
        chat,
        [
            lambda url: said("messages", {"type": "image_url", "image_url": {"url": url}}),
            lambda url: said("messages", {"type": "image_url", "image_url": url}),
            lambda url: said("messages", {"type": "input_image", "image_url": url}),
            lambda url: said("messages", {"type": "file", "file": {"file_id": url, "format": "image/png"}}),
        ],
    ),
    "messages": (
        messages,
        [
            lambda url: said("messages", anthropic_s(url)),
            lambda url: said("messages", {"type": "tool_result", "content": [anthropic_s(url)]}),
            lambda url: {"system": [anthropic_s(url)]},
        ],
    ),
    "responses": (
        responses,
        [
            lambda url: said("input", {"type": "input_image", "image_url": url}),
            lambda url: {
                "input": [{"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": url}}]
            },
        ],
    ),
    "generate_content": (
        generate_content,
        [
            lambda url: {"contents": [{"parts": [google_s(url)]}]},
            lambda url: {"contents": [{"parts": [{"functionResponse": {"name": "look", "parts": [google_s(url)]}}]}]},
            lambda url: {"systemInstruction": {"parts": [google_s(url)]}},
        ],
    ),
}
"""The places for a URL in each wire format."""
every_wire_format = pytest.mark.parametrize(("wire_format", "carriers"), CARRIERS.values(), ids=CARRIERS)


def refusal(wire_format: WireFormat, body: dict[str, Any], **settings: Any) -> FailureReason | None:
    """The reason why there is no vision call for the request's image. ``None`` if there is one."""
    [step] = make_plan(wire_format.find(body).images, ImageAnalysisConfig(**settings), Tenant("global", b""), "eyes")
    return step.ask.reason if isinstance(step.ask, Failed) else None


class TestAllWireFormats:
    @every_wire_format
    @pytest.mark.parametrize("url", HOSTILE)
    def test_nobody_is_asked_about_a_hostile_url(
        self, url: str, wire_format: WireFormat, carriers: list[Carrier]
    ) -> None:
        kinds = {
            FailureReason.URL_NOT_PUBLIC,
            FailureReason.URL_HAS_BLANKS,
            FailureReason.UNSUPPORTED_SOURCE,
            FailureReason.UNSUPPORTED_TYPE,
        }
        for carry in carriers:
            assert refusal(wire_format, carry(url)) in kinds

    @every_wire_format
    @pytest.mark.parametrize("url", GOOD)
    def test_a_good_url_is_sent_on_as_it_is(self, url: str, wire_format: WireFormat, carriers: list[Carrier]) -> None:
        for carry in carriers:
            assert refusal(wire_format, carry(url)) is None
            [image] = wire_format.find(carry(url)).images
            assert image.source is not None
            assert image.source.url == url

    @every_wire_format
    def test_with_reject_no_url_is_sent_on(self, wire_format: WireFormat, carriers: list[Carrier]) -> None:
        for url in GOOD:
            for carry in carriers:
                assert refusal(wire_format, carry(url), remote_urls="reject") is FailureReason.URL_NOT_ALLOWED


def refusal_in_chat(url: str, **settings: Any) -> FailureReason | None:
    wire_format, [carry, *_] = CARRIERS["chat"]
    return refusal(wire_format, carry(url), **settings)


class TestPrivateHosts:
    """Named hosts that are not public, with ``allow_private_hosts``."""

    SETTINGS: ClassVar[dict[str, Any]] = {
        "allow_private_hosts": True,
        "allowed_url_hosts": ["minio", "db", "images.corp.internal", "10.0.0.5", "[fd00::5]"],
    }

    @pytest.mark.parametrize(
        "url",
        [
            "http://minio:9000/bucket/cat.png",
            "http://MINIO/cat.png",
            "http://db/cat.png",
            "https://images.corp.internal/cat.png",
            "http://10.0.0.5:8080/cat.png",
            "http://[fd00:0::5]/cat.png",
        ],
    )
    def test_they_pass(self, url: str) -> None:
        for remote_urls in ("pass", "allowlist"):
            assert refusal_in_chat(url, remote_urls=remote_urls, **self.SETTINGS) is None

    @pytest.mark.parametrize(
        "url",
        [
            "http://minio2/cat.png",
            "http://corp.internal/cat.png",
            "http://10.0.0.50/cat.png",
            "http://10.0.0.05/cat.png",
            "http://0xa000005/cat.png",
            "http://167772165/cat.png",
            "http://a@minio/cat.png",
            "http://minio@127.0.0.1/cat.png",
            "http://minio\\@127.0.0.1/cat.png",
            "http://127.0.0.1/minio",
            "http://localhost/cat.png",
            "http://169.254.169.254/latest",
            "http://[::1]/cat.png",
        ],
    )
    def test_no_other_host_does(self, url: str) -> None:
        for remote_urls in ("pass", "allowlist"):
            assert refusal_in_chat(url, remote_urls=remote_urls, **self.SETTINGS) is FailureReason.URL_NOT_PUBLIC

    def test_public_hosts_follow_remote_urls(self) -> None:
        url = "https://images.example.com/cat.png"
        assert refusal_in_chat(url, remote_urls="pass", **self.SETTINGS) is None
        assert refusal_in_chat(url, remote_urls="allowlist", **self.SETTINGS) is FailureReason.URL_NOT_ALLOWED

    def test_without_the_setting_they_do_not(self) -> None:
        assert refusal_in_chat("http://minio/cat.png") is FailureReason.URL_NOT_PUBLIC


class TestAllowlist:
    SETTINGS: ClassVar[dict[str, Any]] = {
        "remote_urls": "allowlist",
        "allowed_url_hosts": [
            *("images.example.com", "CDN.example.com", "bücher.example", "xn--e1afmkfd.xn--p1ai"),
            *("8.8.8.8", "[2606:4700:4700:0::1111]"),
        ],
    }

    @pytest.mark.parametrize(
        "url",
        [
            "https://images.example.com/cat.png",
            "HTTPS://IMAGES.Example.COM/cat.png",
            "https://images.example.com:8443/cat.png",
            "https://cdn.example.com/cat.png",
            "https://bücher.example/cat.png",
            "https://BÜCHER.example/cat.png",
            "https://xn--bcher-kva.example/cat.png",
            "https://пример.рф/cat.png",
            "https://8.8.8.8/cat.png",
            "https://[2606:4700:4700::1111]/cat.png",
        ],
    )
    def test_its_hosts_pass_in_every_spelling(self, url: str) -> None:
        assert refusal_in_chat(url, **self.SETTINGS) is None

    @pytest.mark.parametrize(
        "url",
        [
            "https://example.com/cat.png",
            "https://other.images.example.com/cat.png",
            "https://images.example.com.evil.net/cat.png",
            "https://evilimages.example.com/cat.png",
            "https://evil.net/images.example.com",
            "https://evil.net/@images.example.com",
            "https://evil.net/#images.example.com",
            "https://im\u0430ges.example.com/cat.png",
            "https://bucher.example/cat.png",
            "https://8.8.4.4/cat.png",
        ],
    )
    def test_others_do_not(self, url: str) -> None:
        assert refusal_in_chat(url, **self.SETTINGS) is FailureReason.URL_NOT_ALLOWED

    def test_it_opens_nothing_that_is_closed_otherwise(self) -> None:
        assert [url for url in HOSTILE if refusal_in_chat(url, **self.SETTINGS) is None] == []


@pytest.mark.parametrize(("url", "host"), GOOD.items())
def test_a_good_url_s_host(url: str, host: str) -> None:
    assert public_host(url) == host


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_url_has_none(url: str) -> None:
    assert public_host(url) is None


@pytest.mark.parametrize("host", GOOD.values())
def test_a_canonical_host_is_canonical(host: str) -> None:
    assert canonical_host(host) == host


_odd_hosts = st.text("abcxe127.:@/\\?#[]%ü。．① \t\n\0-_", max_size=30)
_likely_hosts = st.lists(st.sampled_from(["a", "1", "0x7f", "ü", "ß", "xn--4ca", "com", "jp", "B"])).map(".".join)


@given(
    st.sampled_from(["http://", "https://", "HTTP://", "http:/", "http:"]),
    _odd_hosts | _likely_hosts,
    st.sampled_from(["", ":80", ":0", "/", "/x", "?x", "#x"]),
    _odd_hosts,
)
@example("http://", "images.example.com", "?", "@127.0.0.1/")
@example("http://", "[2606:4700:4700:0::1111]", ":80", "/x.png")
@example("http://", "BÜCHER.example", ":80", "/x.png")
def test_other_parsers_read_the_same_host_in_what_passes(scheme: str, host: str, port: str, rest: str) -> None:
    """The parsers of urllib, httpx and yarl (aiohttp). Security advisories report differences of each."""
    url = f"{scheme}{host}{port}{rest}"
    read = public_host(url)
    if read is not None:
        for host_read in (urlsplit(url).hostname, httpx.URL(url).raw_host.decode(), yarl.URL(url).raw_host):
            assert canonical_host(bracketed(host_read)) == read


def bracketed(host: str | None) -> str:
    return f"[{host}]" if ":" in (host or "") else host or ""


def read_by_browsers(url: str) -> str | None:
    """The host by the WHATWG's rules, which browsers and many HTTP clients use. ``None`` if there is none."""
    try:
        return ada_url.URL(url).hostname
    except ValueError:
        return None


def full_width(text: str) -> str:
    return "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text)


def percent_encoded(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


SPELLINGS: list[Callable[[str], str]] = [
    str,
    str,
    str.upper,
    full_width,
    percent_encoded,
    "{}\t".format,
    "\u00ad{}".format,
]


def respelled(text: str, choices: bytes) -> str:
    """The text with its first characters in other spellings that browsers treat as equal."""
    first = zip(text, choices, strict=False)
    return "".join(SPELLINGS[choice % len(SPELLINGS)](sign) for sign, choice in first) + text[len(choices) :]


def mostly(*usual: str, rarely: list[str]) -> st.SearchStrategy[str]:
    return st.integers(0, 6).flatmap(lambda number: st.sampled_from(usual if number else rarely))


_schemes = mostly("http://", "https://", "HTTP://", rarely=["http:/", "http:", "http:\\\\", "//", "ws://"])
_users = mostly("", rarely=["@", "user@", "user:secret@", "8.8.8.8:80@", "images.example.com\\@"])
_small, _any_letters = (
    st.text(st.characters(min_codepoint=first, max_codepoint=last, categories=["L", "M", "N"]), min_size=1, max_size=3)
    for first, last in ((0xC0, 0x52F), (0x80, None))
)
_labels = _small | _any_letters | mostly("a", "a_b", "é-1", rarely=["xn--4ca", "xn--zca", "0x7f", "faß", "1e5", "-a"])
_suffixes = mostly("", ".com", ".example", ".рф", ".xn--p1ai", rarely=[".local", ".", ".0x7f", ".1", "..com"])
_international_hosts = st.builds("{}{}".format, st.lists(_labels, min_size=1, max_size=2).map(".".join), _suffixes)
_rests = mostly("", "/", ":80", ":443/", rarely=[":0/", ":65536", "\\x", "?@b.example", "#@127.0.0.1/", "/@b", "./"])
_choices = st.integers(0, 3).flatmap(lambda number: st.just(b"") if number else st.binary(max_size=9))


@thorough
@given(_schemes, _users, _international_hosts | _odd_hosts, _choices, _rests)
def test_browsers_read_the_same_host_in_what_passes(
    scheme: str, user: str, host: str, choices: bytes, rest: str
) -> None:
    """They may refuse a name with letters that are newer than their version of Unicode."""
    url = f"{scheme}{user}{respelled(host, choices)}{rest}"
    for passed in (public_host(url), plain_host(url)):
        if passed is not None:
            read = read_by_browsers(url)
            assert read is not None or "xn--" in passed
            assert read is None or canonical_host(read, only_public=False) == passed


KNOWN = [
    "127.0.0.1",
    "169.254.169.254",
    "10.0.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "8.8.8.8",
]
_addresses = st.sampled_from(KNOWN).map(ipaddress.IPv4Address) | st.ip_addresses(v=4)
_bases = st.lists(st.sampled_from(["{}", "0{:o}", "000{:o}", "0x{:x}", "0X{:08X}"]), min_size=1, max_size=4)


def in_numbers(address: ipaddress.IPv4Address, bases: list[str]) -> str:
    """An IPv4 address as one number for each base. The last number has all remaining bytes."""
    count = len(bases) - 1
    numbers = [*address.packed[:count], int.from_bytes(address.packed[count:], "big")]
    return ".".join(base.format(number) for base, number in zip(bases, numbers, strict=True))


@thorough
@given(_addresses, _bases, _choices, st.sampled_from(["", "."]))
@example(ipaddress.IPv4Address("127.0.0.1"), ["{}"] * 2, b"", "")
@example(ipaddress.IPv4Address("8.8.8.8"), ["{}"] * 4, b"", "")
def test_an_address_that_browsers_read_passes_in_one_spelling_and_only_if_it_is_public(
    address: ipaddress.IPv4Address, bases: list[str], choices: bytes, end: str
) -> None:
    spelled = f"{respelled(in_numbers(address, bases), choices)}{end}"
    url = f"http://{spelled}/x.png"
    assert read_by_browsers(url) == str(address)
    is_public = address.is_global and not address.is_multicast
    assert public_host(url) in ((None, spelled) if is_public else (None,))
    assert plain_host(url) in ((None, spelled) if spelled == str(address) else (None,))


@thorough
@given(st.ip_addresses(v=6), st.booleans(), st.booleans())
def test_browsers_read_the_same_ipv6_address(address: ipaddress.IPv6Address, exploded: bool, upper: bool) -> None:
    spelled = address.exploded if exploded else address.compressed
    url = f"http://[{spelled.upper() if upper else spelled}]:80/x.png"
    read = plain_host(url)
    assert read is not None
    assert canonical_host(read_by_browsers(url) or "", only_public=False) == read
    assert public_host(url) in ((None, read) if address.is_global else (None,))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_passes_only_if_it_is_public(address: ipaddress.IPv4Address) -> None:
    host = public_host(f"http://{address}/x.png")
    assert host in (None, str(address))
    assert host is None or (address.is_global and not address.is_multicast)


@given(st.ip_addresses(v=4), st.sampled_from(["::{}", "::ffff:{}", "64:ff9b::{}", "::ffff:0:{}", "fe80::5efe:{}"]))
def test_no_ipv4_address_passes_within_an_ipv6_address(address: ipaddress.IPv4Address, form: str) -> None:
    assert public_host(f"http://[{form.format(address)}]/x.png") is None


@given(st.ip_addresses(v=6))
def test_an_ipv6_address_passes_only_if_it_is_public(address: ipaddress.IPv6Address) -> None:
    if public_host(f"http://[{address}]/x.png") is not None:
        assert address.is_global
        assert address.sixtofour is None
        assert address.teredo is None
