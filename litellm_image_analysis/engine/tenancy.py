"""The callers that share analyses or take turns, and the secret that the processes of a gateway share."""

from __future__ import annotations

import os
import re
import secrets
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from litellm_image_analysis.analysis.tenant import GLOBAL_SCOPE, Tenant, derived_secret
from litellm_image_analysis.compat import proxy_global

if TYPE_CHECKING:
    from litellm.proxy._types import UserAPIKeyAuth

    from litellm_image_analysis.config import CacheConfig

_THIS_PROCESS: Final = f"process:{secrets.token_hex(8)}"
_SHA256: Final = re.compile("[0-9a-f]{64}")
_RANDOM_SECRET: Final = secrets.token_bytes(32)


def tenant(config: CacheConfig, caller: UserAPIKeyAuth | None, *, owns_model: bool = False) -> Tenant:
    """The tenant that shares analyses with the caller: its team, else its key. Without a proxy, the process.

    Args:
        config: the settings of the cache.
        caller: the virtual key of the request.
        owns_model: whether the vision model is the team's own. Its analyses then stay in the team with every ``scope``.
    """
    scope = GLOBAL_SCOPE if config.scope == "global" and not owns_model else _scope(caller)
    return Tenant(scope, shared_secret(config) or _RANDOM_SECRET)


def _scope(caller: UserAPIKeyAuth | None) -> str:
    return _team(caller) or payer(caller)


def _team(caller: UserAPIKeyAuth | None) -> str | None:
    return f"team:{caller.team_id}" if caller is not None and caller.team_id else None


def payer(caller: UserAPIKeyAuth | None) -> str:
    """The key of the fair queue for vision calls: the virtual key, not its team. Without a proxy, the process."""
    if caller is None:
        return _THIS_PROCESS
    if caller.api_key:
        return f"key:{_hashed(caller.api_key)}"
    if caller.user_id:
        return f"user:{caller.user_id}"
    if caller.team_id:
        return f"team:{caller.team_id}"
    return f"organization:{caller.org_id}" if caller.org_id else "nobody"


def owner(caller: UserAPIKeyAuth | None) -> str | None:
    """The team of the caller's key, else the user of the key. ``None`` if the key has neither."""
    user_id = None if caller is None else caller.user_id
    return _team(caller) or (f"user:{user_id}" if user_id else None)


def _hashed(key: str) -> str:
    """Hash a key unless it is a hash. LiteLLM gives virtual keys as SHA-256. Custom authentication gives any text."""
    return key if _SHA256.fullmatch(key) else sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def shared_secret(config: CacheConfig) -> bytes | None:
    """The secret that all workers of a gateway share: the setting, else the proxy's salt key, else its master key."""
    if config.secret is not None:
        return derived_secret(config.secret.get_secret_value())
    material = os.environ.get("LITELLM_SALT_KEY") or proxy_global("master_key")
    return derived_secret(material) if isinstance(material, str) and material else None


def fingerprint(config: CacheConfig) -> str | None:
    """A text that two hosts have in common if their cache keys are the same. ``None`` without a shared secret."""
    secret = shared_secret(config)
    return None if secret is None else Tenant(GLOBAL_SCOPE, secret).key("fingerprint")
