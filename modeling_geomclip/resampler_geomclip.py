"""The resampler of the captioner: from the states of all atoms to a fixed number of soft tokens."""

import torch
from torch import Tensor, nn

from .configuration_geomclip import GeomCLIPCaptioningConfig


class GeomCLIPResampler(nn.Module):
    """A fixed number of learned queries that attend to a molecule's atoms (Flamingo, Alayrac et al., NeurIPS 2022).

    Unlike Flamingo, the molecule's embedding is added to the queries, because it was aligned with text.
    """

    def __init__(self, config: GeomCLIPCaptioningConfig):
        super().__init__()
        size = config.geometry_config.hidden_size
        self.queries = nn.Parameter(torch.empty(config.num_prefix_tokens, size))
        self.embedding_projection = nn.Linear(config.projection_dim, size)
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                size,
                config.resampler_num_heads,
                dim_feedforward=4 * size,
                dropout=config.resampler_dropout,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.resampler_num_layers)
        )
        self.layer_norm = nn.LayerNorm(size)

    def forward(self, atom_states: Tensor, atom_mask: Tensor, embedding: Tensor) -> Tensor:
        """Return the states of the queries, (batch, num_prefix_tokens, size).

        Args:
            atom_states: (batch, atoms, size).
            atom_mask: (batch, atoms) bool, True on atoms.
            embedding: (batch, projection_dim).
        """
        states = self.queries + self.embedding_projection(embedding).unsqueeze(1)
        for layer in self.layers:
            states = layer(states, atom_states, memory_key_padding_mask=~atom_mask)
        return self.layer_norm(states)
