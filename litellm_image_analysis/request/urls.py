"""Where an http(s) URL leads, read off its text: no DNS, no socket.

Whoever fetches a URL reads it with a parser of its own, and parsers disagree on what is odd: backslashes, user names,
numbers that are addresses, two generations of IDNA. So a URL passes only if there is one way to read it.
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
"""Anything else at a name's end is a number, and thereby an IPv4 address to many parsers."""

_HOST_CHARACTERS = 253
_HIGHEST_PORT = 65535

_PRIVATE_V4 = tuple(
    IPv4Network(network)
    for network in (
        "192.0.0.0/24",  # IETF protocol assignments; older versions of ipaddress know only parts of it
        "192.88.99.0/24",  # relays of 6to4
        "168.63.129.16/32",  # Azure's services for virtual machines
        "224.0.0.0/4",  # multicast, which ipaddress calls global
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
"""All of IPv6 that is given out: mapped, compatible, NAT64, unique local and link-local addresses are outside."""
_PRIVATE_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # IETF protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)
_PRIVATE_ZONES = frozenset(
    {
        # Special-use names, https://www.iana.org/assignments/special-use-domain-names
        *("alt", "arpa", "internal", "invalid", "local", "localhost", "onion", "test"),
        # What routers, companies and clusters call their own
        *("consul", "corp", "home", "intranet", "lan", "localdomain", "private", "svc"),
        # Cloud metadata under public names
        *("metadata.goog", "metadata.packet.net", "metadata.platformequinix.com", "metadata.tencentyun.com"),
        # Public names that are there to lead to any address, or to one's own
        *("1u.ms", "backname.io", "lacolhost.com", "local.gd", "localtest.me", "lvh.me", "nip.io", "rbndr.us"),
        *("sslip.io", "traefik.me", "vcap.me", "xip.io"),
    }
)


def public_host(url: str) -> str | None:
    """The public host that a URL plainly names.

    Args:
        url: as a client sent it.

    Returns:
        The host as ``canonical_host`` writes it; ``None`` if the URL is no http(s) URL, holds credentials, can be read
        in more than one way, or leads to a host that is not public.
    """
    if not url.isprintable() or " " in url or "\\" in url:
        return None
    parts = _PLAIN.fullmatch(url)
    if parts is None or int(parts["port"] or 1) > _HIGHEST_PORT:
        return None
    rest = parts["rest"] or "/"
    if "@" in rest and not rest.startswith("/"):
        return None  # old parsers take what stands before for a user name
    return canonical_host(parts["host"])


def canonical_host(host: str) -> str | None:
    """The one spelling of a public host: lower case, ASCII, an IPv6 address in brackets.

    Args:
        host: a name or an address, as it may stand in a URL.

    Returns:
        ``None`` if it is not public, as far as its text tells, or can be read in more than one way.
    """
    if host.startswith("["):
        return _public_v6(host[1:-1]) if host.endswith("]") else None
    name = _in_ascii(host)
    if name is None or len(name) > _HOST_CHARACTERS:
        return None
    labels = name.split(".")
    if len(labels) < 2 or not all(map(_LABEL.fullmatch, labels)):
        return None
    if not _TOP_LEVEL.fullmatch(labels[-1]):
        return _public_v4(name)
    zones = {".".join(labels[start:]) for start in range(len(labels))}
    return None if zones & _PRIVATE_ZONES else name


def _in_ascii(host: str) -> str | None:
    """A name in lower case and punycode, if both generations of IDNA write it the same."""
    name = host.lower()
    if host.isascii() and "xn--" not in name:
        return name
    if len(name) > _HOST_CHARACTERS or host.isascii() != name.isascii():  # a Kelvin sign becomes a k
        return None
    try:
        ascii_name = idna.encode(name, strict=True)
        return ascii_name.decode() if ascii_name == name.encode("idna") else None
    except UnicodeError:
        return None


def _public_v4(text: str) -> str | None:
    try:
        address = IPv4Address(text)  # four decimal numbers and nothing else
    except AddressValueError:
        return None
    return text if address.is_global and not any(address in network for network in _PRIVATE_V4) else None


def _public_v6(text: str) -> str | None:
    try:
        address = IPv6Address(text)
    except AddressValueError:
        return None
    is_public = address in _GLOBAL_V6 and not any(address in network for network in _PRIVATE_V6)
    return f"[{address.compressed}]" if is_public else None
