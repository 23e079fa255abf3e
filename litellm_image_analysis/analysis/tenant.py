"""Among whom analyses are shared, and the keys they are known by."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

_PURPOSE = b"litellm-image-analysis"
EVERYBODY = "global"
"""The scope of ``cache.scope: global``."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """Callers who share analyses. Nothing is ever joined across tenants, neither remembered nor in flight.

    Attributes:
        scope: who they are, such as ``team:research`` or ``key:88dc28d0…``.
        secret: what their keys are made with; without it nobody can tell from a key which image it stands for.
    """

    scope: str
    secret: bytes = field(repr=False)

    def key(self, *parts: str) -> str:
        """Name what is made of these parts: 64 hex digits, the same in every process that has the secret."""
        # Lengths keep the parts apart: no two different lists of parts give the same bytes.
        framed = "".join(f"{len(part)}:{part}" for part in (self.scope, *parts))
        return hmac.digest(self.secret, framed.encode("utf-8", "surrogatepass"), "sha256").hex()


def derived_secret(material: str) -> bytes:
    """A secret for keys from one that also serves other purposes, such as a proxy's master key."""
    return hmac.digest(material.encode("utf-8", "surrogatepass"), _PURPOSE, "sha256")
