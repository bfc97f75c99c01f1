"""Guided attention (Tachibana et al. 2018, section 4): a nudge that makes the decoder look along the diagonal.

The speech encoder's states carry no absolute position, so cross-attention finds its way late, long after the CTC has
learnt the sounds. For some heads, attention far from the diagonal costs a little until it has.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seamless_stream.models.seamless_m4t.model import NUM_PROMPT_TOKENS
from seamless_stream.nn.attention import KVState, MultiHeadAttention
from seamless_stream.nn.transformer import Decoder

NUM_HEADS = 2  # of each layer; the others stay free
WIDTH = 0.15  # of the diagonal, as a share of the length


class Guide:
    """Listens to the cross-attention of a decoder while it is entered."""

    def __init__(self, decoder: Decoder) -> None:
        self.modules: list[MultiHeadAttention] = [layer.source_attention for layer in decoder.layers]
        self.calls: list[tuple[MultiHeadAttention, Tensor, KVState]] = []

    def __enter__(self) -> "Guide":
        for module in self.modules:
            module.attend = self._listening(module, module.attend)  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        for module in self.modules:
            del module.attend

    def _listening(self, module: MultiHeadAttention, attend: Callable[..., Tensor]) -> Any:
        def listen(x: Tensor, memory: KVState, mask: Tensor | None) -> Tensor:
            self.calls.append((module, x, memory))
            return attend(x, memory, mask)

        return listen

    def loss(self, token_lengths: Tensor, source_lengths: Tensor) -> Tensor:
        """Mean attention away from the diagonal, in 0..1, over the calls since entering."""
        total = source_lengths.new_zeros((), dtype=torch.float32)
        for module, x, memory in self.calls:
            queries = module.heads(module.query(x))[:, :NUM_HEADS]
            scores = (
                queries @ memory.keys[:, :NUM_HEADS].transpose(2, 3) / module.head_width**0.5
            )  # [B, H, T, S]
            tokens = torch.arange(scores.shape[2], device=x.device)[None]
            frames = torch.arange(scores.shape[3], device=x.device)[None]
            scores = scores.masked_fill((frames >= source_lengths[:, None])[:, None, None], float("-inf"))
            num_pieces = (token_lengths - NUM_PROMPT_TOKENS).clamp(min=1)
            spoken = (tokens - NUM_PROMPT_TOKENS + 1).clamp(min=0) / num_pieces[:, None]
            heard = frames / source_lengths[:, None]
            far = 1 - torch.exp(
                -((spoken[:, :, None] - heard[:, None, :]) ** 2) / (2 * WIDTH**2)
            )  # [B, T, S]
            counted = (tokens < token_lengths[:, None]).float()[:, None]  # [B, 1, T]
            away = (scores.softmax(3) * far[:, None]).sum(3) * counted  # [B, H, T]
            total = total + away.sum() / (counted.sum() * NUM_HEADS)
        return total / len(self.calls)
