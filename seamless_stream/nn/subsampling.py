"""Convolutions that shorten a sequence of feature vectors before a transformer reads it.

Rows of a batch are what they are alone: before each convolution the positions behind a row's end are silenced,
as the padding of a lone row is.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from seamless_stream.nn.attention import length_mask

STRIDE = 2


class GatedSubsampler(nn.Module):
    """Convolutions of stride 2, each closed by a gated linear unit (Synnaeve et al. 2019, arXiv:1911.08460)."""

    def __init__(self, width_in: int, channels: int, width: int, kernels: Sequence[int]) -> None:
        super().__init__()
        last = len(kernels) - 1
        self.convolutions = nn.ModuleList(
            nn.Conv1d(
                width_in if index == 0 else channels // 2,
                2 * width if index == last else channels,
                kernel,
                stride=STRIDE,
                padding=kernel // 2,
            )
            for index, kernel in enumerate(kernels)
        )

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, T, F] with lengths [B] -> [B, T', D] and its lengths; kernels are odd."""
        x = x.transpose(1, 2)  # [B, F, T]
        for convolution in self.convolutions:
            if bool((lengths < x.shape[2]).any()):
                x = x * length_mask(lengths, x.shape[2])[:, None, :]
            x = F.glu(convolution(x), dim=1)
            lengths = (lengths - 1) // STRIDE + 1
        return x.transpose(1, 2), lengths
