"""SeamlessM4T v1 against transformers: what it shares with v2 by v2's own tests, then its units and waveforms.

The reference answers each utterance alone; ours answers them as one batch. The T2U of both also reads the hidden state
of the text's closing </s>.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from seamless_stream.engine.decoding import Decoded, decode, find_units
from seamless_stream.engine.translator import Translator
from seamless_stream.errors import CheckpointError, ModelError, SettingsError
from seamless_stream.models.base import EncoderOutput, UnitSearch
from seamless_stream.models.registry import load_model
from seamless_stream.models.seamless_m4t.config import parse_config
from seamless_stream.settings import DecodingSettings, UnitDecodingSettings
from tests.parity import test_generation as generation
from tests.parity import tiny
from tests.parity import tiny_v1 as family
from tests.parity.test_encoders import test_speech_encoder, test_text_encoder_and_logits  # noqa: F401
from tests.parity.test_generation import test_text_tasks  # noqa: F401

WAVE_TOLERANCE = 1e-4
TEXT = DecodingSettings(max_new_tokens=8, min_new_tokens=4, no_repeat_ngram=2)
# Greedy, the units of random weights are one unit again and again; a draw visits all of them.
SAMPLED = UnitDecodingSettings(sample=True, temperature=2.0, seed=11)
BEAMS = UnitDecodingSettings(beams=4)


@pytest.fixture(scope="module", params=enumerate(family.VARIANTS), ids=lambda param: param[1].name)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> family.Pair:
    seed, variant = request.param
    directory = tmp_path_factory.mktemp("v1") / variant.name
    family.save(variant, directory, seed)
    return family.Pair(variant, directory)


@torch.inference_mode()
def with_closing(model: Any, encoded: EncoderOutput, decoded: Sequence[Decoded]) -> list[torch.Tensor]:
    """Hidden states [T, D] of each text, the closing </s> read too where there is one."""
    rows = []
    for row, one in enumerate(decoded):
        alone = encoded.reorder(torch.tensor([row]))
        ids = torch.tensor([generation.with_ending(one)])
        hidden = model.decoder.step(ids, model.decoder.init_state(alone)).hidden[0]
        torch.testing.assert_close(hidden[: len(one.hidden)], one.hidden, rtol=0, atol=1e-4)
        rows.append(hidden)
    return rows


def search(settings: UnitDecodingSettings) -> UnitSearch:
    return partial(find_units, settings=settings)


GREEDY_UNITS = search(UnitDecodingSettings())


def unit_options(settings: UnitDecodingSettings) -> dict[str, Any]:
    """The same choices in the reference's words; its answer is a draw where ours is."""
    torch.manual_seed(11)
    sampling = {"speech_temperature": settings.temperature, "speech_top_k": 0} if settings.sample else {}
    return {"speech_do_sample": settings.sample, "speech_num_beams": settings.beams, **sampling}


def their_speech(
    reference: Any, one: dict[str, torch.Tensor], target: str, text: DecodingSettings = TEXT, **options: Any
) -> Any:
    return reference.generate(
        **one,
        tgt_lang=target,
        return_intermediate_token_ids=True,
        speech_max_new_tokens=family.MAX_NEW_UNITS,
        **generation.text_options(text),
        **options,
    )


@pytest.mark.parametrize(
    "modality, source, target, speaker, settings",
    [
        ("speech", "eng", "spa", 0, UnitDecodingSettings()),
        ("text", "spa", "eng", 3, BEAMS),
        ("speech", "fra", "deu", 5, SAMPLED),
    ],
    ids=["s2st", "t2st_beams", "s2st_sampled"],
)
def test_speech_tasks(
    pair: family.Pair,
    modality: str,
    source: str,
    target: str,
    speaker: int,
    settings: UnitDecodingSettings,
) -> None:
    reference, model = pair.both(torch.float32)
    encoded = generation.encode(model, modality, source)
    ours = decode(model.decoder, encoded, model.prompt(target), TEXT)
    hidden = with_closing(model, encoded, ours)
    units = model.units([one.token_ids for one in ours], hidden, target, search=search(settings))
    waves = model.vocode([np.repeat(row.ids, row.repeats).tolist() for row in units], target, speaker)
    inputs = generation.speech_inputs() if modality == "speech" else generation.text_inputs(model, source)
    for row, one in enumerate(inputs):
        output = their_speech(reference, one, target, spkr_id=speaker, **unit_options(settings))
        assert generation.with_ending(ours[row]) == output.sequences[0].tolist()
        assert [*model.unit_prompt(target).token_ids, *units[row].ids] == output.unit_sequences[0].tolist()
        assert units[row].per_token == []
        wave = output.waveform.reshape(-1)
        tolerance = min(WAVE_TOLERANCE, 1e-3 * float(wave.std()))
        torch.testing.assert_close(torch.from_numpy(waves[row]), wave, rtol=0, atol=tolerance)
        if not {1, 2, 5} & set(units[row].ids[:-1]):  # these become unit 1, which it counts as padding
            assert len(waves[row]) == int(output.waveform_lengths)


def test_unit_logits(pair: family.Pair) -> None:
    """The unit decoder is a `base.Decoder`."""
    reference, model = pair.both(torch.float32)
    encoded = generation.encode(model, "text", "spa")
    ours = decode(model.decoder, encoded, model.prompt("eng"), TEXT)
    t2u = model.network.t2u
    for states in with_closing(model, encoded, ours):
        with torch.inference_mode():
            source = t2u.encode(states[None], torch.tensor([len(states)]))
            prompt = torch.tensor([[2, family.NUM_UNITS + 4, 9, 17, 30, 9]])
            theirs = reference.t2u_model(inputs_embeds=states[None], decoder_input_ids=prompt)
            step = t2u.decoder.step(prompt, t2u.decoder.init_state(source), num_logits=prompt.shape[1])
        torch.testing.assert_close(source.states, theirs.encoder_last_hidden_state, rtol=0, atol=1e-4)
        torch.testing.assert_close(step.logits, theirs.logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize("settings, beams", [(BEAMS, 5), (SAMPLED, 1)], ids=["beams", "sampled"])
def test_translator(pair: family.Pair, settings: UnitDecodingSettings, beams: int) -> None:
    """The whole way of a text through the engine, the text's own beams included: the reference's units and samples."""
    reference, model = pair.both(torch.float32)
    translator, text = Translator(model), replace(TEXT, beams=beams)
    inputs = generation.text_inputs(model, "spa")
    for sentence, one in list(zip(tiny.texts(), inputs, strict=False))[:2]:
        ours = translator.translate(
            text=sentence,
            source_language="spa",
            target_language="eng",
            speaker=3,
            decoding=text,
            unit_decoding=settings,
        )
        theirs = their_speech(reference, one, "eng", text, spkr_id=3, **unit_options(settings))
        assert ours.unit_ids == theirs.unit_sequences[0].tolist()[2:]
        wave = theirs.waveform.reshape(-1)
        tolerance = min(WAVE_TOLERANCE, 1e-3 * float(wave.std()))
        torch.testing.assert_close(torch.from_numpy(ours.speech), wave, rtol=0, atol=tolerance)


def test_answers_are_worth_comparing(pair: family.Pair) -> None:
    """Units and durations vary, and there is sound."""
    model = pair.ours
    ours = decode(model.decoder, generation.encode(model, "text", "eng"), model.prompt("fra"), TEXT)
    token_ids, hidden = [one.token_ids for one in ours], [one.hidden for one in ours]
    units = model.units(token_ids, hidden, "fra", search=search(SAMPLED))
    assert len({unit for row in units for unit in row.ids}) >= 5
    assert len({repeat for row in units for repeat in row.repeats}) >= 3
    waves = model.vocode([np.repeat(row.ids, row.repeats).tolist() for row in units], "fra", 0)
    assert all(0.001 < samples.std() < 0.9 for samples in waves)
    fast = model.units(token_ids, hidden, "fra", duration_factor=0.3, search=search(SAMPLED))
    assert [row.ids for row in fast] == [row.ids for row in units]
    assert sum(sum(row.repeats) for row in fast) < sum(sum(row.repeats) for row in units)


# --- one variant is enough


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> family.Pair:
    directory = tmp_path_factory.mktemp("v1_one")
    family.save(family.VARIANTS[0], directory, seed=0)
    return family.Pair(family.VARIANTS[0], directory)


def test_capabilities(one: family.Pair) -> None:
    found = one.ours.capabilities
    assert (found.family, found.encoder_modes) == ("seamless_m4t", ("reencode",))
    assert len(found.tasks) == 5 and found.has_alignment and not found.streams_speech


def test_open_segment_is_heard_again(one: family.Pair) -> None:
    """In any pieces the same; an ended segment is the offline one."""
    model, samples = one.ours, tiny.speech(32_000, seed=3)
    whole = model.encode_speech([model.features(samples)])
    heard = []
    for size in (3_000, 8_000):
        segment = model.open_segment("reencode")
        for at in range(0, len(samples), size):
            (segment,) = model.listen([segment], [samples[at : at + size]], [False])
        heard.append(segment.encoded.states)
        (segment,) = model.listen([segment], [samples[:0]], [True])
        torch.testing.assert_close(segment.encoded.states, whole.states, rtol=0, atol=1e-5)
    torch.testing.assert_close(heard[0], heard[1], rtol=0, atol=1e-5)
    for mode in ("chunked", "windowed"):
        with pytest.raises(SettingsError, match="`encoder_mode` must be reencode, but is"):
            model.open_segment(mode)


def test_parts(one: family.Pair) -> None:
    """What a task does not need is not loaded, batch norm statistics among it."""
    model = load_model(str(one.directory), device="cpu", dtype=torch.float32, tasks=["t2tt"])
    assert model.capabilities.tasks == {"t2tt"} and not model.capabilities.encoder_modes


def test_no_text_no_units(one: family.Pair) -> None:
    model = one.ours
    texts = decode(model.decoder, generation.encode(model, "text", "eng"), model.prompt("fra"), TEXT)
    empty = texts[0].hidden[:2]
    both = [texts[0].token_ids[:2], texts[1].token_ids]
    units = model.units(both, [empty, texts[1].hidden], "fra", search=GREEDY_UNITS)
    alone = model.units([texts[1].token_ids], [texts[1].hidden], "fra", search=GREEDY_UNITS)
    assert not units[0].ids and units[1].ids == alone[0].ids


def test_refusals(one: family.Pair) -> None:
    model, raw = one.ours, tiny.describe(one.directory)
    with pytest.raises(ModelError, match="unit without a sound"):
        model.vocode([[10, family.NUM_UNITS + 4]], "eng", 0)
    with pytest.raises(SettingsError, match="`search` must be given for units that come one by one"):
        model.units([[3, 95, 7]], [torch.zeros(3, 32)], "eng")
    with pytest.raises(
        CheckpointError, match="`position_embeddings_type` must be 'relative', but is 'rotary'"
    ):
        parse_config(raw | {"position_embeddings_type": "rotary"})
    with pytest.raises(CheckpointError, match="`char_vocab_size` is not a field of a SeamlessM4T v1"):
        parse_config(raw | {"char_vocab_size": 5})
