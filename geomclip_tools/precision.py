"""Choose the floating-point precision that the hardware computes fastest in."""

import functools
import time

import torch

LEAST_GAIN = 1.3  # speed-up from which bfloat16 is worth its lower precision


def choose_precision() -> str:
    """Return "bf16" if the hardware supports bfloat16 and is faster with it, else "no".

    A CPU without bfloat16 instructions is many times slower in bfloat16. A CPU with them may be faster or slower.
    """
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    if torch.accelerator.is_available() or not hasattr(torch.cpu, "get_capabilities"):
        return "no"  # another accelerator, or a CPU whose capabilities are unknown
    capabilities = torch.cpu.get_capabilities()
    is_native = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return "bf16" if is_native and measure_bfloat16_gain() > LEAST_GAIN else "no"


@functools.cache
def measure_bfloat16_gain() -> float:
    """Return the speed-up of matrix products on this CPU from float32 to bfloat16."""
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        matrix, spent = torch.ones(1024, 1024, dtype=dtype), []
        for _ in range(6):  # the first one is a warm-up
            start = time.perf_counter()
            torch.mm(matrix, matrix)
            spent.append(time.perf_counter() - start)
        seconds[dtype] = min(spent)
    return seconds[torch.float32] / seconds[torch.bfloat16]
