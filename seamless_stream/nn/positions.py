"""Positions: sinusoidal tables for text and units, clipped relative distances for the speech encoder."""

import math

import torch
from torch import Tensor


def sinusoidal_table(rows: int, width: int, padding_row: int) -> Tensor:
    """Sine half, then cosine half, [rows, width] float32; the padding row is zero.

    The layout of tensor2tensor and fairseq (sines and cosines not interleaved), Vaswani et al. 2017, section 3.5.
    """
    half = width // 2
    scale = math.log(10_000) / (half - 1)
    frequencies = torch.exp(torch.arange(half, dtype=torch.int64).float() * -scale)  # [D / 2]
    angles = torch.arange(rows, dtype=torch.int64).float()[:, None] * frequencies[None, :]  # [rows, D / 2]
    table = torch.cat([angles.sin(), angles.cos()], dim=1)  # [rows, D]
    if width % 2:
        table = torch.cat([table, torch.zeros(rows, 1)], dim=1)
    table[padding_row] = 0
    return table


def spread_relative_scores(scores: Tensor, num_keys: int, max_left: int) -> Tensor:
    """Scores per clipped distance [B, H, T, R] -> scores per key [B, H, T, S], without a [T, S, D] tensor.

    Query i stands at key index `S - T + i`; entry r of R belongs to the distance `r - max_left`, and distances beyond
    either end take the end's score (Shaw et al. 2018, section 3.2). Each row is widened at its two ends so that it
    covers every distance of every query, and shifted by one column per query through a view with one column less.
    """
    batch, heads, num_queries, num_distances = scores.shape
    # Distances -(S - 1) .. T - 1. A lone query needs one more: the view below drops a column.
    columns = max(num_queries, 2) + num_keys - 1
    first = num_keys - 1 - max_left  # how many columns lie left of the table
    last = columns - first - num_distances
    middle = scores[..., max(-first, 0) : num_distances + min(last, 0)]
    wide = torch.cat(
        [
            scores[..., :1].expand(-1, -1, -1, max(first, 0)),
            middle,
            scores[..., -1:].expand(-1, -1, -1, max(last, 0)),
        ],
        dim=3,
    )  # [B, H, T, T + S - 1]
    flat = wide.reshape(batch, heads, num_queries * columns)[..., num_queries - 1 :]
    rows = flat[..., : num_queries * (columns - 1)].view(batch, heads, num_queries, columns - 1)
    return rows[..., :num_keys]


def relative_table(size: int, width: int) -> Tensor:
    """A row for each distance from a query back to a key, `size - 1` down to `1 - size`: [2 size - 1, width] float32.

    Sines and cosines interleaved, unlike `sinusoidal_table` (Dai et al. 2019, section 3.3 and its implementations).
    """
    steps = torch.arange(0, width, 2, dtype=torch.int64).float()
    frequencies = torch.exp(steps * -(math.log(10_000) / width))  # [D / 2]
    distances = torch.arange(size - 1, -size, -1, dtype=torch.int64).float()
    angles = distances[:, None] * frequencies  # [2 size - 1, D / 2]
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :width]
