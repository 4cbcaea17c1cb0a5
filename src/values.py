"""Values: small frozen objects that can be compared, hashed by content and written as JSON."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict

DIGEST_LENGTH = 16
"""Hex digits kept of a SHA-256: 64 bits, ample for the few thousand things one cache names."""


class Value(BaseModel):
    """A frozen pydantic model that refuses unknown keys and knows its content digest."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def plain(self) -> dict[str, Any]:
        """The value as JSON types."""
        return self.model_dump(mode="json")

    def digest(self) -> str:
        """Content digest, the same on every machine."""
        return digest(self.plain())


def canonical_json(content: Any) -> str:
    """JSON with sorted keys and no spaces: equal content gives equal text."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(content: Any) -> str:
    """The first 16 hex digits of the SHA-256 of the canonical JSON of `content`."""
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:DIGEST_LENGTH]
