"""Device on which a trial trains, and the type of its numbers."""

import torch

from tosmooth.trainables.config import TrialConfig


def default_device() -> torch.device:
    """The GPU where torch finds one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def compute_dtype(config: TrialConfig, device: torch.device) -> torch.dtype:
    """The type of the forward pass. `auto`: bfloat16 for image networks where the hardware multiplies in it."""
    precision = config.training.precision
    if precision == "auto":
        precision = "bfloat16" if config.network.name != "mlp" and _has_bfloat16(device) else "float32"
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
