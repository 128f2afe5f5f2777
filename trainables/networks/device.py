"""Device on which a trial trains, and the type of its numbers."""

import torch

from tosmooth.trainables.config import TrialConfig

EVALUATION_BATCH = {"cpu": 128, "cuda": 2000}  # examples: a CPU stays within its caches, a GPU wants much at once


def default_device() -> torch.device:
    """The GPU where torch finds one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def compute_dtype(config: TrialConfig, device: torch.device) -> torch.dtype:
    """The type of the forward pass. `auto`: bfloat16 for image networks where the hardware multiplies in it."""
    return dtype_of(config.training.precision, device, pictures=not config.network.of_features)


def dtype_of(precision: str, device: torch.device, pictures: bool) -> torch.dtype:
    """The type that a `precision` of a study means for a network of `pictures`, or of features."""
    if precision == "auto":
        precision = "bfloat16" if pictures and _has_bfloat16(device) else "float32"
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
