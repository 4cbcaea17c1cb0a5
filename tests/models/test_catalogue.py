"""The catalogue pins one set of weights to one name."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from pydantic import ValidationError

from wattune.errors import ModelError
from wattune.models.catalogue import CATALOGUE, PACKAGED_MODEL, CatalogueEntry, catalogue_entry


def test_every_entry_is_pinned() -> None:
    assert {"smollm2-135m", "smollm2-135m-q4", "minilm"} <= set(CATALOGUE)
    assert len({entry.revision for entry in CATALOGUE.values()}) == len(CATALOGUE)
    for name, entry in CATALOGUE.items():
        assert entry.name == name
        if entry.hub is not None:
            assert re.fullmatch("[0-9a-f]{40}", entry.hub.revision)
        if entry.wheel is not None:
            assert re.fullmatch("[0-9a-f]{64}", entry.wheel.sha256)


def test_the_packaged_model_needs_no_hub() -> None:
    assert CATALOGUE[PACKAGED_MODEL].hub is None


def test_the_revision_of_a_converted_model_names_the_conversion() -> None:
    assert "-conversion" in CATALOGUE["smollm2-135m-q4"].revision
    assert "-conversion" not in CATALOGUE["minilm"].revision


def test_an_entry_has_exactly_one_source() -> None:
    facts = CATALOGUE["minilm"].plain()
    with pytest.raises(ValidationError, match="exactly one"):
        CatalogueEntry.model_validate({**facts, "wheel": None})
    with pytest.raises(ValidationError, match="exactly one"):
        CatalogueEntry.model_validate({**facts, "hub": {"repo": "a/b", "revision": "0" * 40}})


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ModelError, match=r'did you mean "minilm"\?'):
        catalogue_entry("minilmm")


def test_the_room_is_light() -> None:
    room = "import wattune.models.fetch, wattune.models.local, wattune.models.embedder"
    heavy = "{'torch', 'transformers', 'huggingface_hub', 'sentence_transformers', 'peft', 'numpy'}"
    code = f"{room}, sys\nassert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
