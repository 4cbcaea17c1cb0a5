"""transformers' optimizers by name: which there are, and which packages they are from."""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import CannotRun, did_you_mean
from .quiet import quiet_import

OF_TORCH = ("adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad", "rmsprop")
"""Those that need no package besides torch and transformers."""
PACKAGES = {
    "adamw_torch_": "torchao",
    "adamw_torch_xla": "torch_xla",
    "adamw_torch_npu": "torch_npu",
    "adamw_anyprecision": "torchdistx",
    "lomo": "lomo_optim",
    "adalomo": "lomo_optim",
    "grokadamw": "grokadamw",
    "schedule_free": "schedulefree",
    "stable_adamw": "optimi",
}
"""By how the names begin, the longest beginning first; all others are of bitsandbytes. As
transformers' `trainer_optimizer.py` has it."""
OF_LAYERS = ("galore", "apollo")
"""They are told the layers they are for (optim_target_modules), which there is no setting for."""


def known_optimizer(name: str) -> str:
    """The name, if it is one of transformers' optimizers that can be used; else a `ValueError`."""
    if name in OF_TORCH:
        return name
    with quiet_import():  # takes seconds
        from transformers.training_args import OptimizerNames

    known = [each.value for each in OptimizerNames if not each.value.startswith(OF_LAYERS)]
    if name in known:
        return name
    if name.startswith(OF_LAYERS):
        raise ValueError(f'"{name}" needs optim_target_modules, which cannot be given here')
    here = [each for each in known if not missing_package(each)]
    raise ValueError(f'"{name}" is none of transformers\' optimizers{did_you_mean(name, here)}')


def missing_package(name: str) -> str:
    """The package that a known optimizer is from, where it is not installed; else ""."""
    if name in OF_TORCH:
        return ""
    begins = max((each for each in PACKAGES if name.startswith(each)), key=len, default="")
    package = PACKAGES.get(begins, "bitsandbytes")
    return package if find_spec(package) is None else ""


def check_optimizer(name: str) -> None:
    """Raise `CannotRun` where the package of a known optimizer is not installed."""
    if package := missing_package(name):
        raise CannotRun(f"optim {name} needs the package {package}, which is not installed")
