"""The autoregressive text-to-unit model of v1: decoder states of a text to acoustic units, one after another.

An encoder-decoder of its own that reads the text decoder's hidden states. Repetitions are not among its units: how long
each lasts is the vocoder's matter. Knows neither texts nor the vocoder.
"""

import torch
from torch import Tensor, nn

from seamless_stream.errors import SettingsError
from seamless_stream.models.base import EncoderOutput, Prompt
from seamless_stream.models.seamless_m4t.config import SeamlessM4TConfig
from seamless_stream.models.text_decoder import DecoderConfig, TextDecoder, new_text_decoder
from seamless_stream.nn.state import State
from seamless_stream.nn.transformer import Decoder, Encoder
from seamless_stream.settings import DecodingSettings


class AutoregressiveTextToUnit(nn.Module):
    """An encoder of the text decoder's hidden states and a decoder of units."""

    def __init__(self, config: SeamlessM4TConfig) -> None:
        super().__init__()
        self.encoder = Encoder(
            config.hidden_size,
            config.t2u_encoder_layers,
            config.t2u_encoder_attention_heads,
            config.t2u_encoder_ffn_dim,
            config.activation_function,
        )
        facts = DecoderConfig(
            vocab_size=config.t2u_vocab_size,
            d_model=config.hidden_size,
            decoder_layers=config.t2u_decoder_layers,
            decoder_ffn_dim=config.t2u_decoder_ffn_dim,
            decoder_attention_heads=config.t2u_decoder_attention_heads,
            activation_function=config.activation_function,
            scale_embedding=config.scale_embedding,
            pad_token_id=config.t2u_pad_token_id,
            tie_word_embeddings=config.tie_word_embeddings,
        )
        self.decoder = new_text_decoder(facts, Decoder)  # `base.Decoder` of units

    def encode(self, hidden: Tensor, lengths: Tensor) -> EncoderOutput:
        """The text decoder's last hidden states [B, T, D] of whole texts -> what the units attend to."""
        return EncoderOutput(self.encoder(hidden, lengths), lengths)


class Picker:
    """Chooses the next unit of one row: the best, or a draw of its own that neither batch nor device change."""

    def __init__(self, settings: DecodingSettings) -> None:
        self._temperature = settings.temperature if settings.sample else None
        self._generator = torch.Generator()
        if settings.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(settings.seed)

    def pick(self, logits: Tensor) -> int:
        """Logits [V] -> unit id."""
        if self._temperature is None:
            return int(logits.argmax())
        chances = (logits.float() / self._temperature).softmax(0).cpu()
        return int(torch.multinomial(chances, 1, generator=self._generator))


def check_unit_decoding(settings: DecodingSettings) -> None:
    """Raises SettingsError for a search that units do not have; nothing asked for is silently ignored."""
    plain = DecodingSettings(max_new_tokens=settings.max_new_tokens)
    names = ("beams", "length_penalty", "top_k", "top_p", "min_new_tokens", "no_repeat_ngram")
    for name in names:
        if getattr(settings, name) != getattr(plain, name):
            raise SettingsError(
                f"`{name}` of the units must be {getattr(plain, name)}, but is {getattr(settings, name)}."
            )


def generate(
    decoder: TextDecoder, encoded: EncoderOutput, prompt: Prompt, settings: DecodingSettings
) -> list[list[int]]:
    """Units of each row, without the prompt, with the end where it was reached; a row as if it were alone."""
    num_rows = encoded.states.shape[0]
    units: list[list[int]] = [[] for _ in range(num_rows)]
    pickers = [Picker(settings) for _ in range(num_rows)]
    rows = list(range(num_rows))  # those that go on
    state: State = decoder.init_state(encoded)
    unit_ids = torch.tensor([prompt.token_ids] * num_rows, device=encoded.states.device)
    for _ in range(settings.max_new_tokens):
        step = decoder.step(unit_ids, state)
        for row, logits in zip(rows, step.logits[:, -1], strict=True):
            units[row].append(pickers[row].pick(logits))
        kept = [index for index, row in enumerate(rows) if units[row][-1] != prompt.eos_id]
        if not kept:
            break
        state = step.state if len(kept) == len(rows) else step.state.reorder(torch.tensor(kept))
        rows = [rows[index] for index in kept]
        unit_ids = torch.tensor([[units[row][-1]] for row in rows], device=unit_ids.device)
    return units
