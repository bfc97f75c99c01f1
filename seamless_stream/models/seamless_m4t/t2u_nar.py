"""The non-autoregressive text-to-unit model of v2: decoder states, spelled out to characters, to acoustic units.

It reads the text decoder's hidden states, one per token; knows nothing of the decoder itself nor of the vocoder.
"""

from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from seamless_stream.models.seamless_m4t.config import GenerationConfig, SeamlessM4TConfig
from seamless_stream.nn.attention import MultiHeadAttention, key_mask, length_mask
from seamless_stream.nn.conformer import ACTIVATIONS
from seamless_stream.nn.convolution import SameConv1d
from seamless_stream.nn.transformer import Encoder, position_rows

SPACE = "▁"
UNKNOWN_ID = 1  # of tokens and of characters
CONV_KERNEL = 7


@dataclass(frozen=True)
class Spelling:
    """Characters of a target text: counts [n] per token and ids [sum of counts], flat."""

    counts: list[int]
    char_ids: list[int]


def spell(token_ids: list[int], tables: GenerationConfig, eos_id: int, pad_id: int) -> Spelling:
    """Free target tokens (no prompt, no closing </s>) to characters, exactly as the reference counts them.

    Its ways, kept because weights were trained with them: a lone punctuation mark takes the space of the next word (so
    the pause after a comma belongs to the comma, but only once the next word is there); an unknown token is one
    character; a </s> inside counts as padding and shortens the row by one.
    """
    ids = [pad_id if token == eos_id else token for token in token_ids]
    num_spelled = sum(token != pad_id for token in ids)
    pieces = [str(tables.id_to_text.get(token)) for token in ids]
    spelled = pieces[:num_spelled]
    starts_word = [len(piece) > 1 and piece[0] == SPACE for piece in spelled] + [False]
    lone = [len(p) == 1 and not p.isalpha() and not p.isnumeric() and p != SPACE for p in spelled]
    counts = [0] * len(ids)
    char_ids: list[int] = []
    for i, (token, piece) in enumerate(zip(ids[:num_spelled], spelled, strict=True)):
        char_ids += (
            [UNKNOWN_ID] if token == UNKNOWN_ID else [tables.char_to_id.get(c, UNKNOWN_ID) for c in piece]
        )
        if token == pad_id:
            break
        counts[i] = 1 if token == UNKNOWN_ID else len(piece)
        if token == UNKNOWN_ID:
            continue
        if lone[i] and starts_word[i + 1]:
            counts[i] += 1
        elif i > 0 and lone[i - 1] and starts_word[i]:
            counts[i] -= 1
    return Spelling(counts, char_ids[: sum(counts)])


def repeat_rows(x: Tensor, counts: Tensor) -> Tensor:
    """Repeat position t of row b counts[b, t] times: [B, T, D] -> [B, T', D], padded with zeros."""
    if x.shape[0] == 1:
        return torch.repeat_interleave(x, counts[0], dim=1)
    rows = [torch.repeat_interleave(row, count, dim=0) for row, count in zip(x, counts, strict=True)]
    return pad_sequence(rows, batch_first=True)


class DurationPredictor(nn.Module):
    """Logarithm of one plus a duration, per position: two convolutions with layer norms and a projection."""

    def __init__(self, width: int, inner: int, kernel: int) -> None:
        super().__init__()
        self.conv1 = SameConv1d(width, inner, kernel)
        self.norm1 = nn.LayerNorm(inner)
        self.conv2 = SameConv1d(inner, inner, kernel)
        self.norm2 = nn.LayerNorm(inner)
        self.projection = nn.Linear(inner, 1)

    def forward(self, x: Tensor, inside: Tensor | None) -> Tensor:
        """x [B, T, D], inside [B, T, 1] or None -> [B, T]."""
        for conv, norm in ((self.conv1, self.norm1), (self.conv2, self.norm2)):
            x = norm(F.relu(conv(x if inside is None else x * inside)))
        y: Tensor = self.projection(x).squeeze(2)
        return y


def to_durations(log_durations: Tensor, factor: float = 1.0) -> Tensor:
    """At least one; a factor below one speaks faster; ties are rounded to even, as torch does."""
    return torch.clamp(torch.round(torch.expm1(log_durations) * factor).long(), min=1)


def units_per_token(counts: list[int], durations: list[int]) -> list[int]:
    """Characters of each token and units of each character -> units of each token."""
    ends = [0, *accumulate(durations)]
    marks = [0, *accumulate(counts)]
    return [ends[stop] - ends[start] for start, stop in pairwise(marks)]


class UnitLayer(nn.Module):
    """Post-norm self-attention and two convolutions; no feed-forward, no cross-attention."""

    def __init__(self, width: int, num_heads: int, activation: str) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.attention = MultiHeadAttention(width, num_heads)
        self.attention_norm = nn.LayerNorm(width)
        self.conv1 = SameConv1d(width, width, CONV_KERNEL)
        self.conv2 = SameConv1d(width, width, CONV_KERNEL)
        self.conv_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor | None, inside: Tensor | None) -> Tensor:
        """x [B, U, D]; padding is silenced before each convolution."""
        x = self.attention_norm(x + self.attention(x, mask))
        y = self.conv1(x if inside is None else x * inside)
        y = self.activation(y if inside is None else y * inside)
        z: Tensor = self.conv_norm(x + self.conv2(y))
        return z


class TextToUnit(nn.Module):
    """Decoder states [B, T, D] and their spelling -> unit logits [B, U, V]."""

    def __init__(self, config: SeamlessM4TConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.padding_id = config.t2u_pad_token_id
        self.embedding_scale = config.embedding_scale
        activation = config.activation_function
        self.encoder = Encoder(
            width,
            config.t2u_encoder_layers,
            config.t2u_encoder_attention_heads,
            config.t2u_encoder_ffn_dim,
            activation,
        )
        self.characters = nn.Embedding(config.char_vocab_size, width)
        self.character_alpha = nn.Parameter(torch.ones(1))
        self.unit_alpha = nn.Parameter(torch.ones(1))
        self.durations = DurationPredictor(
            config.t2u_variance_predictor_embed_dim,
            config.t2u_variance_predictor_hidden_dim,
            config.t2u_variance_predictor_kernel_size,
        )
        self.layers = nn.ModuleList(
            UnitLayer(width, config.t2u_decoder_attention_heads, activation)
            for _ in range(config.t2u_decoder_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, config.t2u_vocab_size, bias=False)

    def characters_of(self, hidden: Tensor, lengths: Tensor, char_ids: Tensor, counts: Tensor) -> Tensor:
        """hidden [B, T, D], counts [B, T] characters per position, char_ids [B, C] -> character states [B, C, D]."""
        x = repeat_rows(self.encoder(hidden, lengths), counts)  # [B, C, D]
        positions = position_rows(x.shape[1], x.shape[2], self.padding_id).to(x)
        y: Tensor = self.characters(char_ids) * self.embedding_scale + self.character_alpha * positions + x
        return y

    def units_of(self, characters: Tensor, durations: Tensor) -> Tensor:
        """Character states [B, C, D] and their durations [B, C] in units -> logits [B, U, V]."""
        x = repeat_rows(characters, durations)  # [B, U, D]
        lengths = durations.sum(1)
        x = x + self.unit_alpha * position_rows(x.shape[1], x.shape[2], self.padding_id).to(x)
        mask = key_mask(lengths, x.shape[1])
        inside = None if mask is None else length_mask(lengths, x.shape[1])[:, :, None].to(x.dtype)
        for layer in self.layers:
            x = layer(x, mask, inside)
        y: Tensor = self.head(self.norm(x))
        return y

    def forward(
        self,
        hidden: Tensor,
        lengths: Tensor,
        char_ids: Tensor,
        counts: Tensor,
        duration_factor: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """-> unit logits [B, U, V] and durations [B, C] (their sum is a row's number of units)."""
        characters = self.characters_of(hidden, lengths, char_ids, counts)
        num_chars = counts.sum(1)
        inside = None
        if bool((num_chars < characters.shape[1]).any()):
            inside = length_mask(num_chars, characters.shape[1])[:, :, None].to(characters.dtype)
        durations = to_durations(self.durations(characters, inside), duration_factor)
        durations = durations * length_mask(num_chars, characters.shape[1])
        return self.units_of(characters, durations), durations
