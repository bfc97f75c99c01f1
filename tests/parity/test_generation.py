"""The five tasks against `SeamlessM4Tv2Model.generate`: tokens, units, durations and waveforms.

The reference answers each utterance alone (batched, its padding changes units); ours answers them as one batch.
"""

from typing import Any

import numpy as np
import pytest
import torch

from seamless_stream.engine.decoding import Decoded, decode
from seamless_stream.models.base import EncoderOutput
from seamless_stream.models.seamless_m4t.t2u_nar import to_durations
from seamless_stream.settings import DecodingSettings
from tests.parity import tiny

MAX_NEW_TOKENS = 12
WAVE_TOLERANCE = 1e-4
ROWS = slice(0, 3)  # of the sounds and of the texts


def text_options(settings: DecodingSettings) -> dict[str, Any]:
    """The same choices in the reference's words."""
    return {
        "text_num_beams": settings.beams,
        "text_max_new_tokens": settings.max_new_tokens,
        "text_min_new_tokens": settings.min_new_tokens,
        "text_no_repeat_ngram_size": settings.no_repeat_ngram,
        "text_do_sample": False,
        "text_early_stopping": False,
    }


def speech_inputs() -> list[dict[str, torch.Tensor]]:
    pairs = [tiny.reference_features(samples) for samples in tiny.sounds()[ROWS]]
    return [{"input_features": values, "attention_mask": mask} for values, mask in pairs]


def text_inputs(model: Any, language: str) -> list[dict[str, torch.Tensor]]:
    ids = [torch.tensor([model.tokenizer.encode_source(text, language)]) for text in tiny.texts()[ROWS]]
    return [{"input_ids": row, "attention_mask": torch.ones_like(row)} for row in ids]


def encode(model: Any, modality: str, language: str) -> EncoderOutput:
    if modality == "speech":
        return model.encode_speech([model.features(samples) for samples in tiny.sounds()[ROWS]])
    return model.encode_text([model.tokenizer.encode_source(text, language) for text in tiny.texts()[ROWS]])


def with_ending(decoded: Decoded) -> list[int]:
    """As the reference spells it: the closing eos is a part of the sequence."""
    return [*decoded.token_ids, *([tiny.EOS] if decoded.finished else [])]


@pytest.mark.parametrize(
    "modality, source, target, beams",
    [("speech", "eng", "spa", 1), ("speech", "cat", "cat", 5), ("text", "spa", "deu", 5)],
    ids=["s2tt", "asr", "t2tt"],
)
def test_text_tasks(pair: tiny.Pair, modality: str, source: str, target: str, beams: int) -> None:
    reference, model = pair.both(torch.float32)
    settings = DecodingSettings(beams=beams, max_new_tokens=MAX_NEW_TOKENS)
    ours = decode(model.decoder, encode(model, modality, source), model.prompt(target), settings)
    inputs = speech_inputs() if modality == "speech" else text_inputs(model, source)
    for decoded, one in zip(ours, inputs, strict=True):
        theirs = reference.generate(**one, tgt_lang=target, generate_speech=False, **text_options(settings))
        assert with_ending(decoded) == theirs.sequences[0].tolist()


class DurationTap:
    """Collects what the reference's two duration predictors answer."""

    def __init__(self, model: Any) -> None:
        self.units: list[torch.Tensor] = []
        self.vocoder: list[torch.Tensor] = []
        predictor = model.t2u_model.model.decoder.duration_predictor
        self.hooks = [
            predictor.register_forward_hook(lambda *args: self.units.append(to_durations(args[2][0]))),
            model.vocoder.dur_predictor.register_forward_hook(
                lambda *args: self.vocoder.append(to_durations(args[2][0]))
            ),
        ]

    def close(self) -> None:
        for hook in self.hooks:
            hook.remove()


def speak(
    model: Any, token_ids: list[list[int]], hidden: list[torch.Tensor], language: str, speaker: int
) -> tuple[list[list[int]], list[np.ndarray]]:
    """Units and samples of every row."""
    units = model.units(token_ids, hidden, language)
    repeated = [np.repeat(row.ids, row.repeats).tolist() for row in units]
    return [row.ids for row in units], model.vocode(repeated, language, speaker)


def our_durations(
    model: Any, token_ids: list[list[int]], hidden: list[torch.Tensor], language: str
) -> list[list[int]]:
    """Durations per character of every row, from the text-to-unit network itself."""
    seen: list[torch.Tensor] = []
    hook = model.network.t2u.register_forward_hook(lambda *args: seen.append(args[2][1]))
    units = model.units(token_ids, hidden, language)
    hook.remove()
    assert [sum(row.per_token) for row in units] == seen[0].sum(1).tolist()
    return [row[row > 0].tolist() for row in seen[0]]


def their_speech(model: Any, one: dict[str, torch.Tensor], **options: Any) -> tuple[Any, list[int]]:
    """The reference's answer and its unit durations."""
    tap = DurationTap(model)
    try:
        output = model.generate(**one, return_intermediate_token_ids=True, **options)
    finally:
        tap.close()
    return output, tap.units[0].tolist()


@pytest.mark.parametrize(
    "modality, source, target, speaker, beams",
    [("speech", "eng", "spa", 0, 1), ("speech", "fra", "deu", 5, 5), ("text", "spa", "eng", 3, 1)],
    ids=["s2st", "s2st_other_voice", "t2st"],
)
def test_speech_tasks(
    pair: tiny.Pair, modality: str, source: str, target: str, speaker: int, beams: int
) -> None:
    reference, model = pair.both(torch.float32)
    # The reference fails on an empty text, hence a least number of tokens.
    settings = DecodingSettings(
        beams=beams, max_new_tokens=MAX_NEW_TOKENS, min_new_tokens=4, no_repeat_ngram=2
    )
    ours = decode(model.decoder, encode(model, modality, source), model.prompt(target), settings)
    # What `max_new_tokens` cuts loses its last token in the reference's speech: see `decode`.
    kept = [(d.token_ids, d.hidden) if d.finished else (d.token_ids[:-1], d.hidden[:-1]) for d in ours]
    token_ids, hidden = [ids for ids, _ in kept], [states for _, states in kept]
    unit_ids, waves = speak(model, token_ids, hidden, target, speaker)
    durations = our_durations(model, token_ids, hidden, target)
    inputs = speech_inputs() if modality == "speech" else text_inputs(model, source)
    for row, one in enumerate(inputs):
        options = text_options(settings) | {"tgt_lang": target, "speaker_id": speaker}
        output, unit_durations = their_speech(reference, one, **options)
        assert with_ending(ours[row]) == output.sequences[0].tolist()
        assert durations[row] == unit_durations
        assert unit_ids[row] == output.unit_sequences[0].tolist()
        samples = torch.from_numpy(waves[row])
        wave = output.waveform.reshape(-1)
        tolerance = min(WAVE_TOLERANCE, 1e-3 * float(wave.std()))  # some of these voices whisper
        torch.testing.assert_close(samples, wave, rtol=0, atol=tolerance)
        if not {1, 2, 5} & set(unit_ids[row]):  # these become unit 1, which it counts as padding
            assert len(samples) == int(output.waveform_lengths)


def test_answers_are_worth_comparing(pair: tiny.Pair) -> None:
    """Tokens, durations and units vary, and there is sound."""
    model = pair.ours
    settings = DecodingSettings(max_new_tokens=MAX_NEW_TOKENS, min_new_tokens=4, no_repeat_ngram=2)
    ours = decode(model.decoder, encode(model, "text", "eng"), model.prompt("fra"), settings)
    token_ids, hidden = [d.token_ids for d in ours], [d.hidden for d in ours]
    assert len({token for row in token_ids for token in row}) >= 6  # of at most 36
    durations = [d for row in our_durations(model, token_ids, hidden, "fra") for d in row]
    assert len(set(durations)) >= 3
    unit_ids, waves = speak(model, token_ids, hidden, "fra", 0)
    assert len({unit for row in unit_ids for unit in row}) >= 5
    assert all(0.001 < samples.std() < 0.9 for samples in waves)
