"""Gather rows and compute means over the processes of a run."""

import torch
import torch.distributed as dist
from torch import Tensor


class AllGather(torch.autograd.Function):
    """All-gather with gradient, in rank order, as open_clip's `gather_with_grad`."""

    @staticmethod
    def forward(ctx, rows: Tensor) -> Tensor:
        """Concatenate the rows of all processes; each must have the same number."""
        gathered = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(gathered, rows.contiguous())
        ctx.num_rows = len(rows)
        return torch.cat(gathered)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        """Sum the gradient over processes and return the part of this process."""
        grad = grad.contiguous()
        dist.all_reduce(grad)
        return grad[dist.get_rank() * ctx.num_rows :][: ctx.num_rows]


def gather(rows: Tensor) -> Tensor:
    """Concatenate the rows of all processes, in rank order. Gradients flow back to every process."""
    return AllGather.apply(rows) if dist.is_initialized() else rows.clone()


def scale_to_mean(num_local: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the factor for a mean over the `num_local` items of this process.

    DDP averages gradients over processes. With this factor, their average is that of the mean over the items of all
    processes.
    """
    counts = gather(num_local.view(1)).to(dtype)
    return num_local * len(counts) / counts.sum().clamp(min=1)


def unsqueeze_scalars(model: torch.nn.Module) -> None:
    """Give scalar parameters one dimension, which FSDP2 needs. `load_state_dict` loads them into scalars again."""
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.ndim == 0:
                widened = torch.nn.Parameter(parameter.detach().view(1), parameter.requires_grad)
                setattr(module, name, widened)
