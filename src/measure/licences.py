"""Which licences are open: anybody may use, change and share the work for any purpose."""

from __future__ import annotations

_OSI = """
afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd bsd-2-clause bsd-3-clause bsl-1.0 ecl-2.0 epl-1.0
epl-2.0 eupl-1.1 eupl-1.2 gpl gpl-2.0 gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 lppl-1.3c mit mpl-2.0 ms-pl
ncsa ofl-1.1 osl-3.0 postgresql unlicense zlib
"""
"""Of the licence identifiers a model card may hold (huggingface.co/docs/hub/repositories-licenses)
those that the Open Source Initiative has approved (opensource.org/licenses); looked up in 2026."""

_OPEN_DEFINITION = "cc-by-4.0 cc-by-sa-4.0 cc0-1.0 odbl odc-by pddl"
"""And those for works that are no code, conformant with the Open Definition 2.1
(opendefinition.org/licenses). Not among them: licences that bar uses or users (OpenRAIL, Llama,
Gemma, CC BY-NC), and what they do not list."""

OPEN = frozenset([*_OSI.split(), *_OPEN_DEFINITION.split()])


def is_open(licence: str) -> bool:
    """Whether a licence, by its SPDX identifier or the hub's, is one of the open ones above."""
    name = licence.strip().lower()
    return name.removesuffix("-only").removesuffix("-or-later") in OPEN
