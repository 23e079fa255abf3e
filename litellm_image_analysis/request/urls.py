"""The host of an http(s) URL, from its text alone, without DNS.

The provider that fetches a URL has its own parser, and parsers disagree on unusual URLs: backslashes, user names,
numbers as addresses, two versions of IDNA. A URL therefore passes only if all parsers read it the same.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network

import idna

_PLAIN = re.compile(
    r"https?://(?P<host>[^/?#:@%\[\]]+|\[[0-9a-f:.]+\])(?::(?P<port>[1-9][0-9]{0,4}))?(?P<rest>[/?#].*)?",
    re.IGNORECASE | re.ASCII,
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_TOP_LEVEL = re.compile(r"[a-z]{2,63}|xn--[a-z0-9-]+", re.ASCII)
"""The last label of a name. Many parsers read a name with a numeric last label as an IPv4 address."""

_SINGLE = re.compile(r"(?!0x)[a-z0-9_-]*[a-z_-][a-z0-9_-]*", re.ASCII)
"""A name of one label that no parser reads as a number."""

_HOST_CHARACTERS = 253
_HIGHEST_PORT = 65535

_PRIVATE_V4 = tuple(
    IPv4Network(network)
    for network in (
        "192.0.0.0/24",  # IETF protocol assignments. Older versions of ipaddress know only a part of them
        "192.88.99.0/24",  # relays of 6to4
        "168.63.129.16/32",  # Azure's services for virtual machines
        "224.0.0.0/4",  # multicast, which ipaddress counts as global
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
"""All assigned IPv6 addresses. Mapped, compatible, NAT64, unique local and link-local addresses are not in it."""
_PRIVATE_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # IETF protocol assignments, with Teredo
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)
_PRIVATE_ZONES = frozenset(
    {
        # Special-use names, https://www.iana.org/assignments/special-use-domain-names
        *("alt", "arpa", "internal", "invalid", "local", "localhost", "onion", "test"),
        # Names for private networks of routers, companies and clusters
        *("consul", "corp", "home", "intranet", "lan", "localdomain", "private", "svc"),
        # Cloud metadata services with public names
        *("metadata.goog", "metadata.packet.net", "metadata.platformequinix.com", "metadata.tencentyun.com"),
        # Public names that resolve to any given address, or to the local host
        *("1u.ms", "backname.io", "lacolhost.com", "local.gd", "localtest.me", "lvh.me", "nip.io", "rbndr.us"),
        *("sslip.io", "traefik.me", "vcap.me", "xip.io"),
    }
)


def is_printable(url: str) -> bool:
    """Return whether a URL has neither blanks nor control characters nor invisible ones."""
    return url.isprintable() and " " not in url


def public_host(url: str) -> str | None:
    """Return the public host of a URL.

    Args:
        url: the URL, as a client sent it.

    Returns:
        The host in the form of ``canonical_host``. ``None`` if the URL is not http(s), has credentials, can be read in
        more than one way, or its host is not public.
    """
    host = _host(url)
    return None if host is None else canonical_host(host)


def plain_host(url: str) -> str | None:
    """Return the host of a URL, even if it is not public.

    Args:
        url: the URL, as a client sent it.

    Returns:
        The host in the form of ``canonical_host``. ``None`` if the URL is not http(s), has credentials, or can be read
        in more than one way.
    """
    host = _host(url)
    return None if host is None else canonical_host(host, only_public=False)


def canonical_host(host: str, *, only_public: bool = True) -> str | None:
    """Return the canonical spelling of a host: lower case, ASCII, an IPv6 address in brackets.

    Args:
        host: a name or an address, as in a URL.
        only_public: whether it must be public.

    Returns:
        The spelling. ``None`` if it can be read in more than one way, or if its text shows that it is not public.
    """
    if host.startswith("["):
        return _v6(host[1:-1], only_public) if host.endswith("]") and "%" not in host else None
    name = _in_ascii(host)
    if name is None or len(name) > _HOST_CHARACTERS:
        return None
    labels = name.split(".")
    if not all(map(_LABEL.fullmatch, labels)):
        return None
    if not (_TOP_LEVEL if len(labels) > 1 else _SINGLE).fullmatch(labels[-1]):
        return _v4(name, only_public)
    zones = {".".join(labels[start:]) for start in range(len(labels))}
    is_public = len(labels) > 1 and not zones & _PRIVATE_ZONES
    return name if is_public or not only_public else None


def _host(url: str) -> str | None:
    """Return the host as it is in the URL, or ``None`` if parsers may differ."""
    if not is_printable(url) or "\\" in url:
        return None
    parts = _PLAIN.fullmatch(url)
    if parts is None or int(parts["port"] or 1) > _HIGHEST_PORT:
        return None
    rest = parts["rest"] or "/"
    if "@" in rest and not rest.startswith("/"):
        return None  # old parsers read the text before it as a user name
    return parts["host"]


def _in_ascii(host: str) -> str | None:
    """Return a name in lower case and punycode, or ``None`` if IDNA 2003 and 2008 differ."""
    name = host.lower()
    if host.isascii() and "xn--" not in name:
        return name
    if len(name) > _HOST_CHARACTERS or host.isascii() != name.isascii():  # for example, the Kelvin sign becomes a k
        return None
    try:
        ascii_name = idna.encode(name, strict=True)
        return ascii_name.decode() if ascii_name == name.encode("idna") else None
    except UnicodeError:
        return None


def _v4(text: str, only_public: bool) -> str | None:
    try:
        address = IPv4Address(text)  # accepts four decimal numbers only
    except AddressValueError:
        return None
    is_public = address.is_global and not any(address in network for network in _PRIVATE_V4)
    return text if is_public or not only_public else None


def _v6(text: str, only_public: bool) -> str | None:
    try:
        address = IPv6Address(text)
    except AddressValueError:
        return None
    is_public = address in _GLOBAL_V6 and not any(address in network for network in _PRIVATE_V6)
    return f"[{address.compressed}]" if is_public or not only_public else None
