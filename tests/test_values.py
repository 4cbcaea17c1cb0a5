"""Values are frozen, strict about keys, and known by a digest of their content."""

from __future__ import annotations

import hashlib

import pytest
from pydantic import ValidationError

from wattune.values import Value, canonical_json, digest


class Pair(Value):
    left: int
    right: str = "r"


def test_a_value_cannot_be_changed_and_refuses_unknown_keys() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Pair(left=1).left = 2  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Pair.model_validate({"left": 1, "centre": 2})


def test_equal_content_has_an_equal_digest_whatever_its_order() -> None:
    assert digest({"b": [1, None], "a": "é"}) == digest({"a": "é", "b": [1, None]})
    assert Pair(left=1).digest() == digest({"left": 1, "right": "r"}) != Pair(left=2).digest()


def test_the_digest_is_the_start_of_a_sha256_of_canonical_json() -> None:
    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'
    whole = hashlib.sha256('{"a":"é","b":1}'.encode()).hexdigest()
    assert digest({"b": 1, "a": "é"}) == whole[:16]
