"""SeamlessM4T, v1 or v2, as the engine sees it: the family's answer to `models.base`, and how it is loaded."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from seamless_stream.errors import LanguageError, ModelError, SettingsError
from seamless_stream.models.base import (
    TASKS,
    Capabilities,
    EncoderMode,
    EncoderOutput,
    Listening,
    Prompt,
    Task,
    Units,
    UnitSearch,
)
from seamless_stream.models.checkpoint import CheckpointFiles
from seamless_stream.models.seamless_m4t import features as feature_extraction
from seamless_stream.models.seamless_m4t import listening
from seamless_stream.models.seamless_m4t.config import (
    SPECIAL_UNITS,
    GenerationConfig,
    SeamlessM4TConfig,
    check_tables,
    parse_config,
    parse_generation_config,
)
from seamless_stream.models.seamless_m4t.features import Features
from seamless_stream.models.seamless_m4t.network import ALL_PARTS, PARTS_OF_TASK, Network
from seamless_stream.models.seamless_m4t.t2u import AutoregressiveTextToUnit
from seamless_stream.models.seamless_m4t.t2u_nar import spell, units_per_token
from seamless_stream.models.seamless_m4t.vocoder import reach_units
from seamless_stream.models.seamless_m4t.weights import is_unused, to_ours
from seamless_stream.models.tensors import load_parameters
from seamless_stream.models.text_decoder import Heads
from seamless_stream.models.tokenizer import SentencePieceTokenizer

NUM_PROMPT_TOKENS = 2  # </s> and the language


def _capabilities(config: SeamlessM4TConfig, tables: GenerationConfig, parts: frozenset[str]) -> Capabilities:
    languages = tuple(tables.text_languages)
    tasks = frozenset(task for task in TASKS if PARTS_OF_TASK[task] <= parts)
    if not tables.speech_languages:
        tasks -= {"s2st", "t2st"}
    return Capabilities(
        family=config.model_type,
        tasks=tasks,
        source_languages=languages,
        target_languages=languages,
        speech_languages=tables.speech_languages,
        num_speakers=config.vocoder_num_spkrs,
        sample_rate=16_000,
        encoder_modes=listening.modes(config.chunk_frames) if "speech_encoder" in parts else (),
        has_alignment=True,
        least_log_prob=tables.least_log_prob,
        names_source=tables.names_source,
        streams_speech=not config.is_v1,
        has_unit_search=config.is_v1,
        samples_per_unit=config.samples_per_unit,
        vocoder_reach_units=reach_units(config),
    )


def capabilities(files: CheckpointFiles) -> Capabilities:
    """What a checkpoint can do, without its weights; raises CheckpointError."""
    return _capabilities(
        parse_config(files.config), parse_generation_config(files.generation_config), ALL_PARTS
    )


class SeamlessM4T:
    """One loaded checkpoint. Calls are functions of their arguments; nothing is kept between them.

    `vocoder_durations` switches the vocoder's own duration predictor, which the reference library always applies and
    Meta's translator never does for v2.
    """

    def __init__(
        self,
        config: SeamlessM4TConfig,
        tables: GenerationConfig,
        network: Network,
        tokenizer: SentencePieceTokenizer,
        *,
        vocoder_durations: bool = True,
        alignment_heads: Heads = (),
    ) -> None:
        self.config = config
        self.tables = tables
        self.network = network.eval()
        self.tokenizer = tokenizer
        self.decoder = network.decoder(alignment_heads)
        self.vocoder_durations = vocoder_durations
        self.capabilities = _capabilities(config, tables, network.parts)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.network.tokens.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """What the parameters are."""
        return self.network.tokens.weight.dtype

    def features(self, samples: np.ndarray) -> Features:
        """Samples [N] float32 at 16 kHz -> stacked features [T, 160]; raises AudioError below 35 ms."""
        return feature_extraction.extract(samples)

    @torch.inference_mode()
    def encode_speech(self, features: list[Features]) -> EncoderOutput:
        """Features of several segments -> states [B, S, D]; each row as if it were alone."""
        return listening.encode(self.network.speech_encoder, features)

    def open_segment(self, mode: EncoderMode | None, after: Listening | None = None) -> Listening:
        """A segment of which nothing is heard; see `models.base`."""
        return listening.open_segment(self.network.speech_encoder, mode, after)

    @torch.inference_mode()
    def listen(
        self, segments: Sequence[Listening], samples: Sequence[np.ndarray], ended: Sequence[bool]
    ) -> list[Listening]:
        """New samples of open segments; see `models.base`."""
        return list(listening.listen(self.network.speech_encoder, segments, samples, ended))

    @torch.inference_mode()
    def encode_text(self, token_ids: list[list[int]]) -> EncoderOutput:
        """Source ids with language and </s> -> states [B, S, D]."""
        batch, lengths = self._pad(token_ids, self.config.pad_token_id)
        return EncoderOutput(self.network.encode_text(batch, lengths), lengths)

    def prompt(self, language: str) -> Prompt:
        """`</s> __lang__`; raises LanguageError for a language that this checkpoint has no token for."""
        if language not in self.tables.text_languages:
            raise LanguageError(f"`target_language` must be one of this checkpoint's, but is {language!r}.")
        return Prompt(
            (self.config.decoder_start_token_id, self.tables.text_languages[language]),
            self.config.eos_token_id,
            self.config.pad_token_id,
        )

    def _pad(self, rows: Iterable[list[int]], value: int) -> tuple[Tensor, Tensor]:
        tensors = [torch.tensor(row, dtype=torch.int64) for row in rows]
        lengths = torch.tensor([len(row) for row in tensors], device=self.device)
        return pad_sequence(tensors, batch_first=True, padding_value=value).to(self.device), lengths

    def _check_voice(self, language: str, speaker: int = 0) -> None:
        if language not in self.tables.speech_languages:
            raise LanguageError(
                f"`target_language` must have a voice, but {language!r} has none in this checkpoint."
            )
        if not 0 <= speaker < self.config.vocoder_num_spkrs:
            raise SettingsError(
                f"`speaker` must be 0 to {self.config.vocoder_num_spkrs - 1}, but is {speaker}."
            )

    @torch.inference_mode()
    def units(
        self,
        token_ids: list[list[int]],
        hidden: list[Tensor],
        language: str,
        *,
        duration_factor: float = 1.0,
        search: UnitSearch | None = None,
    ) -> list[Units]:
        """Target ids with prompt and their hidden states [T, D] -> T2U unit ids, offset included.

        Each row as if it were alone; in the reference the rows of a batch see one position of padding more. As the
        reference, v1 also reads the closing </s>, and v2 does not.
        """
        self._check_voice(language)
        if isinstance(self.network.t2u, AutoregressiveTextToUnit):
            if search is None:
                raise SettingsError("`search` must be given for units that come one by one, but is empty.")
            return self._searched_units(self.network.t2u, hidden, language, duration_factor, search)
        return self._spelled_units(token_ids, hidden, duration_factor)

    def _searched_units(
        self,
        t2u: AutoregressiveTextToUnit,
        hidden: list[Tensor],
        language: str,
        duration_factor: float,
        search: UnitSearch,
    ) -> list[Units]:
        """v1: units one by one, an end among them, which the vocoder speaks as the reference's does."""
        result = [Units([], [], [])] * len(hidden)
        rows = [row for row, states in enumerate(hidden) if len(states) > NUM_PROMPT_TOKENS]
        if not rows:
            return result
        lengths = torch.tensor([len(hidden[row]) for row in rows], device=self.device)
        states = pad_sequence([hidden[row] for row in rows], batch_first=True)  # [B, T, D]
        source, most = t2u.encode(states, lengths), self.config.t2u_max_new_tokens
        ids = search(t2u.decoder, source, self.unit_prompt(language), most)
        for row, units, repeats in zip(rows, ids, self._repeats(ids, duration_factor), strict=True):
            result[row] = Units(units, [], repeats)
        return result

    def unit_prompt(self, language: str) -> Prompt:
        """How v1's units start: `</s>` and the language, in unit ids."""
        config = self.config
        start = (config.t2u_decoder_start_token_id, self.tables.unit_languages[language])
        return Prompt(start, config.t2u_eos_token_id, config.t2u_pad_token_id)

    def _spelled_units(
        self, token_ids: list[list[int]], hidden: list[Tensor], duration_factor: float
    ) -> list[Units]:
        """v2: units of all characters at once."""
        eos, pad = self.config.eos_token_id, self.config.pad_token_id
        spellings = [spell(row[NUM_PROMPT_TOKENS:], self.tables, eos, pad) for row in token_ids]
        # A vector predicts the next token: position 1, the language, speaks the first token; the last is dropped.
        counts, _ = self._pad(([0, *s.counts, 0] for s in spellings), 0)
        char_ids, _ = self._pad((s.char_ids for s in spellings), 0)
        lengths = torch.tensor([len(row) for row in hidden], device=self.device)
        states = pad_sequence(hidden, batch_first=True)  # [B, T, D]
        if not char_ids.shape[1]:
            return [Units([], [0] * len(s.counts), []) for s in spellings]
        logits, durations = self.network.t2u(states, lengths, char_ids, counts, duration_factor)
        sizes = durations.sum(1).tolist()
        ids = [row[:size] for row, size in zip(logits.argmax(2).tolist(), sizes, strict=True)]
        per_token = [
            units_per_token(s.counts, row) for s, row in zip(spellings, durations.tolist(), strict=True)
        ]
        return [Units(*row) for row in zip(ids, per_token, self._repeats(ids), strict=True)]

    def _repeats(self, unit_ids: list[list[int]], duration_factor: float = 1.0) -> list[list[int]]:
        if not self.vocoder_durations:
            return [[1] * len(row) for row in unit_ids]
        batch, lengths = self._pad((self._sounds(row) for row in unit_ids), 0)
        repeats = self.network.vocoder.repeats(batch, lengths, duration_factor).tolist()
        return [row[: len(ids)] for ids, row in zip(unit_ids, repeats, strict=True)]

    def _sounds(self, unit_ids: list[int]) -> list[int]:
        """T2U unit ids -> the vocoder's."""
        eos, pad = self.config.t2u_eos_token_id, self.config.t2u_pad_token_id
        # As in the reference: an end, in v2 in the middle of a row, is spoken as unit `pad`.
        sounds = [pad if unit in (eos, pad) else unit - self.config.vocoder_offset for unit in unit_ids]
        if not all(0 <= unit < self.config.unit_hifi_gan_vocab_size for unit in sounds):
            raise ModelError("The text-to-unit model gave a unit without a sound (bos, unk or a language).")
        return sounds

    @torch.inference_mode()
    def vocode(self, unit_ids: list[list[int]], language: str, speaker: int) -> list[np.ndarray]:
        """T2U unit ids, offset included and repeated -> samples [N] float32 at 16 kHz; see `models.base`."""
        self._check_voice(language, speaker)
        voice = self.tables.vocoder_languages[language]
        result = [np.zeros(0, np.float32)] * len(unit_ids)
        groups: dict[int, list[int]] = defaultdict(list)
        for index, row in enumerate(unit_ids):
            groups[len(row)].append(index)
        groups.pop(0, None)
        for rows in groups.values():
            batch = torch.tensor([self._sounds(unit_ids[row]) for row in rows], device=self.device)
            samples = self.network.vocoder(batch, voice, speaker).float().cpu().numpy()  # [B, N]
            for index, wave in zip(rows, samples, strict=True):
                result[index] = wave
        return result


assert SPECIAL_UNITS == SeamlessM4TConfig.vocoder_offset


def load(
    files: CheckpointFiles, *, device: torch.device, dtype: torch.dtype, tasks: Iterable[Task] | None = None
) -> SeamlessM4T:
    """Load what `tasks` (default: all) need; raises CheckpointError with everything that does not fit."""
    config = parse_config(files.config)
    tables = parse_generation_config(files.generation_config)
    check_tables(config, tables)
    wanted = tuple(TASKS if tasks is None else tasks)
    parts = frozenset().union(*(PARTS_OF_TASK[task] for task in wanted)) | {"text_decoder"}
    with torch.device("meta"):
        network = Network(config, parts)
        known = Network(config).state_dict().keys()
    tied, family = config.tie_word_embeddings, config.model_type

    def rename(name: str) -> str | None:
        ours = to_ours(name, tied=tied, family=family)
        if is_unused(name, tied=tied, family=family) or (
            ours in known and ours.split(".")[0] in ALL_PARTS - parts
        ):
            return None
        return ours or name

    load_parameters(network, files.tensors, rename, dtype=dtype, device=device)
    tokenizer = SentencePieceTokenizer(files.tokenizer_model, tables.text_languages)
    return SeamlessM4T(config, tables, network, tokenizer, alignment_heads=files.alignment_heads)
