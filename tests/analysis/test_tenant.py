"""Cache keys of tenants: they need the secret, and different inputs never have the same key."""

from __future__ import annotations

import hashlib
import hmac
import string
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.strategies import texts

from litellm_image_analysis.analysis.tenant import Tenant, check_scope, derived_secret
from litellm_image_analysis.errors import ConfigError

RESEARCH = Tenant("team:research", b"secret")

part_lists = st.lists(texts | st.sampled_from(["", "1:", "0:", "1:a", "2:1:"]), max_size=4)


def test_a_key_is_the_hmac_of_the_scope_and_the_parts_each_with_its_length() -> None:
    framed = b"13:team:research3:cat0:"
    assert RESEARCH.key("cat", "") == hmac.digest(b"secret", framed, hashlib.sha256).hex()


def test_another_process_makes_the_same_key() -> None:
    program = (
        "from litellm_image_analysis.analysis.tenant import Tenant, derived_secret;"
        "print(Tenant('team:research', derived_secret('sk-master')).key('cat', 'Größe'), end='')"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", program], capture_output=True, text=True, check=True
    )
    assert elsewhere.stdout == Tenant("team:research", derived_secret("sk-master")).key("cat", "Größe")


@given(part_lists)
@example(["\ud800"])
def test_any_parts_have_a_key_of_64_hex_digits(parts: list[str]) -> None:
    key = RESEARCH.key(*parts)
    assert len(key) == 64
    assert set(key) <= set(string.hexdigits.lower())


@given(part_lists, part_lists)
@example(["ab", "c"], ["a", "bc"])
@example(["a", ""], ["a"])
@example(["", "a"], ["a", ""])
@example(["1:a"], ["", "a"])
@example(["\ud83d\ude00"], ["\U0001f600"])
def test_keys_are_the_same_if_and_only_if_the_parts_are(one: list[str], other: list[str]) -> None:
    assert (RESEARCH.key(*one) == RESEARCH.key(*other)) is (one == other)


@given(texts, part_lists, texts, part_lists)
@example("team:research1:a", [], "team:research", ["a"])
@example("", ["a"], "a", [""])
def test_no_choice_of_parts_leads_to_another_tenants_keys(
    scope: str, parts: list[str], other_scope: str, other_parts: list[str]
) -> None:
    same = (scope, parts) == (other_scope, other_parts)
    assert (Tenant(scope, b"secret").key(*parts) == Tenant(other_scope, b"secret").key(*other_parts)) is same


@given(st.binary(min_size=1, max_size=40), st.binary(min_size=1, max_size=40))
def test_whoever_has_another_secret_makes_other_keys(secret: bytes, other: bytes) -> None:
    # HMAC itself pads a short secret with zeros.
    same = secret.rstrip(b"\0") == other.rstrip(b"\0")
    assert (Tenant("team:research", secret).key("cat") == Tenant("team:research", other).key("cat")) is same


def test_a_tenant_is_shown_without_its_secret() -> None:
    assert repr(RESEARCH) == "Tenant(scope='team:research')"


@pytest.mark.parametrize("material", ["sk-master", "", "Größe", "\ud800", "x" * 10_000])
def test_a_derived_secret_does_not_give_its_material_away(material: str) -> None:
    secret = derived_secret(material)
    assert len(secret) == 32
    assert secret == derived_secret(material)
    assert secret != hashlib.sha256(material.encode("utf-8", "surrogatepass")).digest()


@given(texts.filter(lambda text: not text.endswith("\0")), texts.filter(lambda text: not text.endswith("\0")))
def test_other_material_gives_another_secret(one: str, other: str) -> None:
    assert (derived_secret(one) == derived_secret(other)) is (one == other)


@pytest.mark.parametrize("scope", [None, "team:research", "key:88dc28d0", "user:a b\nc", "organization:o", "global"])
def test_a_scope_has_one_of_these_forms(scope: str | None) -> None:
    check_scope(scope)


@pytest.mark.parametrize("scope", ["", "team", "team:", "research", "teams:research", "GLOBAL", 5, b"global"])
def test_another_form_is_told_the_right_ones(scope: object) -> None:
    """A flush of a scope that does not exist would silently remove nothing."""
    with pytest.raises(ConfigError, match=r"flush_cache: got .* as scope; it must be team:<team id>"):
        check_scope(scope)
