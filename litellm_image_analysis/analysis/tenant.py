"""The callers that share analyses, and the cache keys."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

_PURPOSE = b"litellm-image-analysis"
GLOBAL_SCOPE = "global"
"""The scope of ``cache.scope: global``."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """Callers that share analyses. Tenants share neither cached analyses nor calls in flight.

    Attributes:
        scope: name of the tenant, such as ``team:research`` or ``key:88dc28d0…``.
        secret: secret of the cache keys. Without it, a key does not reveal the image.
    """

    scope: str
    secret: bytes = field(repr=False)

    def key(self, *parts: str) -> str:
        """Return the cache key of these parts: 64 hex digits, the same in every process with the secret."""
        # The lengths make the bytes of different lists different.
        framed = "".join(f"{len(part)}:{part}" for part in (self.scope, *parts))
        return hmac.digest(self.secret, framed.encode("utf-8", "surrogatepass"), "sha256").hex()


def derived_secret(material: str) -> bytes:
    """Derive a secret for cache keys from a secret with other uses, such as a proxy's master key."""
    return hmac.digest(material.encode("utf-8", "surrogatepass"), _PURPOSE, "sha256")
