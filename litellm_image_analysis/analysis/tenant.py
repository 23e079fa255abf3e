"""The callers that share analyses, and the cache keys."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field

from litellm_image_analysis.errors import ConfigError

_PURPOSE = b"litellm-image-analysis"
GLOBAL_SCOPE = "global"
"""The scope of ``cache.scope: global``."""
_SCOPE = re.compile(rf"(?:team|key|user|organization|process):.+|nobody|{GLOBAL_SCOPE}", re.DOTALL)


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


def check_scope(scope: object) -> None:
    """Check the scope of a flush.

    Raises:
        ConfigError: no scope has this form.
    """
    if scope is not None and not (isinstance(scope, str) and _SCOPE.fullmatch(scope)):
        raise ConfigError(
            f"flush_cache: got {scope!r:.80} as scope; it must be team:<team id>, key:<the key's hash>, user:<user id>,"
            f" {GLOBAL_SCOPE}, or None for all"
        )


def derived_secret(material: str) -> bytes:
    """Derive a secret for cache keys from a secret with other uses, such as a proxy's master key."""
    return hmac.digest(material.encode("utf-8", "surrogatepass"), _PURPOSE, "sha256")
