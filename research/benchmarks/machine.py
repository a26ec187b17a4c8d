"""Describe the machine of a benchmark and measure its matrix multiplication rate."""

import os
import time

import torch

from geomclip_tools.records import name_processor


def describe_machine() -> dict:
    """Return the processor, the number of cores, the instruction set and the torch version."""
    return {
        "processor": name_processor(),
        "cores": os.cpu_count(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
    }


def gemm_rate(dtype: torch.dtype, seconds: float = 1.0) -> float:
    """Measure the operations per second of (2048, 512) @ (512, 2048), the shape of the tower's largest products."""
    left, right = torch.randn(2048, 512, dtype=dtype), torch.randn(512, 2048, dtype=dtype)
    torch.mm(left, right)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        torch.mm(left, right)
        count += 1
    return count * 2 * 2048 * 512 * 2048 / (time.perf_counter() - start)
