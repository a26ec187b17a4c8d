"""States of a molecule's atoms -> one state of the molecule."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import initialization as init

from .configuration_geomclip import GeomCLIPGeometryConfig
from .geometry_geomclip import masked_mean

NUM_QUERIES = 8  # of the attention


class GeomCLIPPooling(nn.Module):
    """What is read of the last states: "cls", the state of the [CLS] row, or the mean over atoms and, with "counting"
    or "attention", what is added to it.

    A mean does not tell one carboxy group from two, nor a softmax, which is a mean with weights of its own. "counting"
    adds sums over atoms of nonnegative channels, scaled by a power of the number of atoms that each channel learns, as
    between a mean (-1) and a sum (0). "attention" adds means of several queries. Both add nothing at first.

    Source: Set Transformer (Lee et al., ICML 2019) for attention pooling; powers between mean and sum as in Principal
        Neighbourhood Aggregation (Corso et al., NeurIPS 2020), whose scalers are fixed.
    """

    def __init__(self, config: GeomCLIPGeometryConfig, pooling: str):
        super().__init__()
        self.pooling, size = pooling, config.hidden_size
        if pooling in ("counting", "attention"):
            self.values = nn.Linear(size, size)
            self.added_weight = nn.Parameter(torch.empty(size, size))
        if pooling == "counting":
            self.power = nn.Parameter(torch.empty(size))
        if pooling == "attention":
            self.num_queries = NUM_QUERIES if size % NUM_QUERIES == 0 else 1
            self.queries = nn.Linear(size, self.num_queries)

    @torch.no_grad()
    def reset_added(self) -> None:
        """Have it add nothing to the mean, and its sums be scaled by the square root of the number of atoms."""
        if self.pooling in ("counting", "attention"):
            init.zeros_(self.added_weight)
        if self.pooling == "counting":
            init.constant_(self.power, -0.5)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """(batch, hidden_size).

        Args:
            states: (batch, rows, hidden_size).
            mask: (batch, rows) bool, True on atoms.
        """
        if self.pooling == "cls":
            return states[:, 0]
        mean = masked_mean(states, mask)
        if self.pooling == "counting":
            return mean + F.linear(self._count(states, mask).to(mean.dtype), self.added_weight)
        if self.pooling == "attention":
            return mean + F.linear(self._attend(states, mask), self.added_weight)
        return mean

    def _count(self, states: Tensor, mask: Tensor) -> Tensor:
        """(batch, hidden_size), logarithms of scaled sums."""
        values = self.values(states).relu() * mask.unsqueeze(-1)
        num_atoms = mask.sum(dim=1, keepdim=True).clamp(min=1)
        return (values.sum(dim=1) * num_atoms**self.power).log1p()

    def _attend(self, states: Tensor, mask: Tensor) -> Tensor:
        """(batch, hidden_size), a mean of the values for each query, side by side."""
        scores = self.queries(states).masked_fill(~mask.unsqueeze(-1), torch.finfo(states.dtype).min)
        values = self.values(states).unflatten(-1, (self.num_queries, -1))  # (batch, rows, queries, channels)
        return (scores.softmax(dim=1).unsqueeze(-1) * values).sum(dim=1).flatten(1)
