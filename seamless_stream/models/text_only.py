"""A loaded checkpoint of a family that hears speech and writes text: the part that such families share.

Knows how a family's parts (features, encoder, decoder, tokenizer, prompts) answer `models.base`, what is refused and
which families can do it. It does not know what the parts are.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from seamless_stream.errors import CheckpointError, LanguageError, SettingsError
from seamless_stream.models import reencode
from seamless_stream.models.base import (
    Capabilities,
    EncoderMode,
    EncoderOutput,
    Listening,
    Prompt,
    Task,
    TextTokenizer,
    Units,
    UnitSearch,
)
from seamless_stream.models.checkpoint import CheckpointFiles
from seamless_stream.models.families import families_with
from seamless_stream.models.languages import LANGUAGES, resolve_language
from seamless_stream.models.text_decoder import TextDecoder

_ALL_CODES = tuple(row.code for row in LANGUAGES)
SAMPLE_RATE = 16_000


class Encoder(Protocol):
    """The speech encoder of a family."""

    def __call__(self, rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Features of each row -> states [B, S, D] and lengths [B], each row as if it were alone."""


class TextOnlyNetwork(nn.Module):
    """A speech encoder and a text decoder."""

    def __init__(self, encoder: nn.Module, decoder: TextDecoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder


class TextOnlyModel:
    """`base.SpeechTranslator` without text input and without speech output."""

    def __init__(
        self,
        capabilities: Capabilities,
        network: TextOnlyNetwork,
        tokenizer: TextTokenizer,
        features: Callable[[np.ndarray], np.ndarray],
        least_samples: int,
        prompts: Mapping[str, Prompt],
    ) -> None:
        self.capabilities = capabilities
        self.network = network.eval()
        self.tokenizer = tokenizer
        self.decoder = network.decoder
        self.features = features
        self.least_samples = least_samples
        self.prompts = dict(prompts)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.decoder.tokens.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """What the parameters are."""
        return self.decoder.tokens.weight.dtype

    @torch.inference_mode()
    def encode(self, samples: Sequence[np.ndarray]) -> EncoderOutput:
        """Samples [N] float32 at 16 kHz of whole segments -> states [B, S, D], each row as if it were alone."""
        rows = [torch.from_numpy(self.features(row)).to(self.device, self.dtype) for row in samples]
        return EncoderOutput(*self.network.encoder(rows))

    def open_segment(self, mode: EncoderMode | None, after: Listening | None = None) -> Listening:
        """See `base`; every segment is normalised by itself, so `after` changes nothing."""
        return reencode.open_segment(mode)

    def listen(
        self, segments: Sequence[Listening], samples: Sequence[np.ndarray], ended: Sequence[bool]
    ) -> list[Listening]:
        """See `base`."""
        own = [segment for segment in segments if isinstance(segment, reencode.WholeSegment)]
        assert len(own) == len(segments)
        return list(reencode.listen(self.encode, self.least_samples, own, samples, ended))

    def encode_text(self, token_ids: list[list[int]]) -> EncoderOutput:
        """Always raises SettingsError."""
        self._refuse_task("t2tt")

    def prompt(self, language: str) -> Prompt:
        """How a hypothesis starts; raises LanguageError for a language that this checkpoint does not write."""
        if language not in self.prompts:
            known = ", ".join(self.prompts)
            raise LanguageError(f"`target_language` must be one of {known}, but is {language}.")
        return self.prompts[language]

    def units(
        self,
        token_ids: list[list[int]],
        hidden: list[Tensor],
        language: str,
        *,
        duration_factor: float = 1.0,
        search: UnitSearch | None = None,
    ) -> list[Units]:
        """Always raises LanguageError: no language has a voice here."""
        self._refuse_voice(language)

    def vocode(self, unit_ids: list[list[int]], language: str, speaker: int) -> list[np.ndarray]:
        """Always raises LanguageError: no language has a voice here."""
        self._refuse_voice(language)

    def _refuse_task(self, task: Task) -> NoReturn:
        tasks = " or ".join(sorted(self.capabilities.tasks))
        raise SettingsError(
            f"`task` must be {tasks} for {self.capabilities.family}, but is {task}; "
            f"families that can: {', '.join(families_with(task))}."
        )

    def _refuse_voice(self, language: str) -> NoReturn:
        raise LanguageError(
            f"`target_language` must have a voice, but {language} has none in {self.capabilities.family}; "
            f"families that speak: {', '.join(families_with('s2st'))}."
        )


# --- languages -------------------------------------------------------------------------------------

_PAIR = re.compile(r"(?:^|-)([a-z]{2})-([a-z]{2})(?:-st)?$")


def code_of(tag: str) -> str:
    """The code of a two-letter tag as this project writes languages: `de` -> `deu`; raises LanguageError."""
    return resolve_language(tag, _ALL_CODES)


def languages_of(files: CheckpointFiles) -> tuple[str, str]:
    """Source and target code of a checkpoint with one pair of languages, which only its name tells.

    The hub id or directory and `_name_or_path` of config.json are looked at: `s2t-small-mustc-en-de-st`,
    `s2t-wav2vec2-large-en-de`, `s2t-small-librispeech-asr`. Raises CheckpointError where none of them tells.
    """
    names = (files.name, files.directory.resolve().name, str(files.config.get("_name_or_path", "")))
    for name in names:
        short = name.rstrip("/").rpartition("/")[2]
        if "librispeech" in short:
            return "eng", "eng"
        found = _PAIR.search(short)
        if found:
            source, target = found.groups()
            try:
                return code_of(source), code_of(target)
            except LanguageError:
                continue
    raise CheckpointError(
        f"The name of `{files.directory}` or `_name_or_path` of its config.json must tell its languages, "
        f"such as s2t-small-mustc-en-de-st, but does not."
    )


def text_capabilities(family: str, source: str, targets: Sequence[str], state_ms: int) -> Capabilities:
    """What a checkpoint can do that hears one language and writes a few."""
    tasks: set[Task] = {"asr" if target == source else "s2tt" for target in targets}
    return Capabilities(
        family=family,
        tasks=frozenset(tasks),
        source_languages=(source,),
        target_languages=tuple(targets),
        speech_languages=(),
        num_speakers=0,
        sample_rate=SAMPLE_RATE,
        encoder_modes=("reencode",),
        has_alignment=True,
        state_ms=state_ms,
    )
