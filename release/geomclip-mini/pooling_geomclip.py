"""Pool the states of a molecule's atoms to one state of the molecule."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import initialization as init

from .configuration_geomclip import GeomCLIPGeometryConfig
from .geometry_geomclip import masked_mean

NUM_QUERIES = 8  # for "attention"


class GeomCLIPPooling(nn.Module):
    """Pool the last states: "cls", the [CLS] row; "mean", over atoms; "counting" and "attention" add to the mean.

    A mean cannot tell one carboxy group from two. Softmax attention cannot either, because it is a weighted mean.
    "counting" adds sums over atoms of nonnegative channels, scaled by a power of the number of atoms. Each channel
    learns its power, for example -1 for a mean and 0 for a sum. "attention" adds weighted means, one per query. Both
    add nothing at initialisation.

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
        """Reset the weights: add nothing to the mean, and divide the sums by the square root of the number of atoms."""
        if self.pooling in ("counting", "attention"):
            init.zeros_(self.added_weight)
        if self.pooling == "counting":
            init.constant_(self.power, -0.5)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Return the pooled states, (batch, hidden_size).

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
        """Return the logarithms of the scaled sums (plus 1), (batch, hidden_size)."""
        values = self.values(states).relu() * mask.unsqueeze(-1)
        num_atoms = mask.sum(dim=1, keepdim=True).clamp(min=1)
        return (values.sum(dim=1) * num_atoms**self.power).log1p()

    def _attend(self, states: Tensor, mask: Tensor) -> Tensor:
        """Return the concatenated weighted means of all queries, (batch, hidden_size)."""
        scores = self.queries(states)  # with autocast, in a lower precision than the states
        scores = scores.masked_fill(~mask.unsqueeze(-1), torch.finfo(scores.dtype).min)
        values = self.values(states).unflatten(-1, (self.num_queries, -1))  # (batch, rows, queries, channels)
        return (scores.softmax(dim=1).unsqueeze(-1) * values).sum(dim=1).flatten(1)
