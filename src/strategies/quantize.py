"""Quantize: the same model in fewer bits. Whether that saves energy, the table shows."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from ..measure.memory import release_memory
from ..models.devices import preferred_device, preferred_dtype
from ..models.quantization import check_quantizer, quantize, stored_bytes, warm_up
from ..system import Method, Quantization, System
from ..tasks.task import Task
from .base import Context, Part, Stage, Strategy
from .tuning import check_weights


class Quantize(Strategy):
    """Store the linear layers' weights in 8 or 4 bits; adapters are merged first.

    The stage holds the quantised weights, so opening them costs no quantising again.
    """

    reads: ClassVar[frozenset[Part]] = frozenset({"system", "machine"})

    type: Literal["quantize"] = "quantize"
    method: Method = "int8_weight_only"
    group_size: Literal[32, 64, 128] = 64

    @property
    def quantization(self) -> Quantization:
        """What the System is told; only int4 has groups."""
        groups = self.group_size if self.method == "int4_weight_only" else None
        return Quantization(method=self.method, group_size=groups)

    def identity(self) -> dict[str, Any]:
        """As every step's, without settings that the method has no use for.

        Int4 weights are packed for the processor's instructions, so these are in it.
        """
        known = {**super().identity(), **self.quantization.plain()}
        if self.quantization.group_size:
            import torch

            known["packed_for"] = torch.backends.cpu.get_cpu_capability()
        return known

    def check(self, system: System, task: Task, before: Sequence[Strategy]) -> None:
        """The weights must be such as can be quantised, by a method that works here."""
        check_weights(system, before, self.type)
        check_quantizer(self.quantization, preferred_device())

    def warm_up(self, system: System, ctx: Context) -> None:
        """The quantising library, which takes some seconds to import."""
        warm_up(self.quantization)

    def build(self, system: System, ctx: Context) -> None:
        """Merge what is to be merged, quantise, and save as safetensors."""
        session = ctx.open(system)
        device = preferred_device()
        model, _ = session.training_model(trains_base=False)
        ctx.details["float_bytes"] = sum(weight.nbytes for weight in model.parameters())
        with tempfile.TemporaryDirectory(dir=ctx.workdir) as merged:
            session.save_weights(model, Path(merged))
            del model
            release_memory()
            made = quantize(
                Path(merged), self.quantization, device=device, dtype=preferred_dtype(device)
            )
        ctx.details["quantized_bytes"] = sum(stored_bytes(weight) for weight in made.parameters())
        ctx.details["computes_in"] = str(made.dtype).removeprefix("torch.")
        session.save_weights(made, ctx.workdir)

    def attach(self, system: System, stage: Stage) -> System:
        """Answer with the quantised weights; adapters were merged into them before."""
        changes = {"weights": stage.ref, "adapters": (), "quantization": self.quantization}
        return system.model_copy(update=changes)
