"""What ``python -m wattune`` and ``accelerate launch -m wattune`` start."""

from __future__ import annotations

from .cli.app import main

main()
