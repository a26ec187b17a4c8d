"""Rows and means over the processes of a run."""

import torch
import torch.distributed as dist
from torch import Tensor


class AllGather(torch.autograd.Function):
    """Rows of all processes, in rank order, with gradient (as in open_clip's `gather_with_grad`)."""

    @staticmethod
    def forward(ctx, rows: Tensor) -> Tensor:
        gathered = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(gathered, rows.contiguous())
        ctx.num_rows = len(rows)
        return torch.cat(gathered)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        grad = grad.contiguous()
        dist.all_reduce(grad)
        return grad[dist.get_rank() * ctx.num_rows :][: ctx.num_rows]


def gather(rows: Tensor) -> Tensor:
    """Rows of all processes, in rank order, with gradient."""
    return AllGather.apply(rows) if dist.is_initialized() else rows.clone()


def scale_to_mean(num_local: Tensor, dtype: torch.dtype) -> Tensor:
    """What a mean over `num_local` things of this process is to be scaled by.

    DDP averages gradients over processes; scaled so, the result is the mean over the things of all processes.
    """
    counts = gather(num_local.view(1)).to(dtype)
    return num_local * len(counts) / counts.sum().clamp(min=1)
