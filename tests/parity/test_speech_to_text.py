"""Speech2Text against transformers: features, encoder states, logits, alignment, tokens and text.

A row of our batches is what the row is alone, so each is compared with the reference's answer to it alone.
"""

from typing import Any

import numpy as np
import pytest
import torch

from seamless_stream.engine.decoding import decode
from seamless_stream.models.base import EncoderOutput
from seamless_stream.models.speech_to_text.features import extract
from seamless_stream.settings import DecodingSettings
from tests.parity import tiny
from tests.parity import tiny_speech_to_text as family

TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-9}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCES, ids=["float32", "float64"])
MAX_NEW_TOKENS = 16
SOUNDS = tiny.sounds()[1:4]


@pytest.fixture(scope="module", params=enumerate(family.VARIANTS), ids=lambda param: param[1].name)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> family.Pair:
    seed, variant = request.param
    directory = tmp_path_factory.mktemp("speech_to_text") / variant.name
    family.save(variant, directory, seed)
    return family.Pair(variant, directory)


def close(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


def encoded_from(model: Any, features: list[torch.Tensor]) -> EncoderOutput:
    """States of the reference's own features, so that only the encoder is compared."""
    with torch.inference_mode():
        return EncoderOutput(*model.network.encoder([f[0].to(model.dtype) for f in features]))


@pytest.mark.parametrize("num_samples", [*tiny.SPEECH_SAMPLES, 48_000, 80_001, 719])
def test_features(num_samples: int) -> None:
    """Equal to the bit."""
    samples = tiny.speech(num_samples, seed=num_samples)
    assert torch.equal(torch.from_numpy(extract(samples)), family.reference_features(samples)[0])


@DTYPES
def test_encoder(pair: family.Pair, dtype: torch.dtype) -> None:
    reference, model = pair.both(dtype)
    features = [family.reference_features(samples) for samples in tiny.sounds()]
    encoded = encoded_from(model, features)
    for row, values in enumerate(features):
        mask = torch.ones(values.shape[:2], dtype=torch.int64)
        with torch.inference_mode():
            states = reference.model.encoder(values.to(dtype), attention_mask=mask).last_hidden_state[0]
        assert int(encoded.lengths[row]) == len(states)
        close(encoded.states[row, : len(states)], states, TOLERANCES[dtype])


@DTYPES
def test_decoder(pair: family.Pair, dtype: torch.dtype) -> None:
    """A prompt of two, three tokens at once, then one by one; rows change places and come back on the way."""
    reference, model = pair.both(dtype)
    encoded = encoded_from(model, [family.reference_features(samples) for samples in tiny.sounds()])
    targets = torch.tensor([[2, 30, 10, 11, 40, 7, 3, 12]] * len(encoded.lengths))
    mask = (torch.arange(encoded.states.shape[1])[None] < encoded.lengths[:, None]).long()
    with torch.inference_mode():
        decoder = reference.model.decoder
        expected = decoder(
            targets,
            encoder_hidden_states=encoded.states,
            encoder_attention_mask=mask,
            output_attentions=True,
        )
        logits = reference.lm_head(expected.last_hidden_state)
        state = model.decoder.init_state(encoded)
        order = torch.arange(len(targets)).flip(0)
        first = 0
        for count in (2, 3, 1, 1, 1):
            piece = slice(first, first + count)
            step = model.decoder.step(
                targets[:, piece], state, num_logits=len(targets[0, piece]), with_attention=True
            )
            close(step.hidden, expected.last_hidden_state[:, piece], TOLERANCES[dtype])
            close(step.logits, logits[:, piece], TOLERANCES[dtype])
            looks = expected.cross_attentions[reference.config.decoder_layers // 3][:, :, piece]
            close(step.attention.to(dtype), looks, 1e-5)
            state = step.state.reorder(order).reorder(order)
            first += count


def settings_for(beams: int) -> DecodingSettings:
    return DecodingSettings(beams=beams, length_penalty=2.0, max_new_tokens=MAX_NEW_TOKENS, no_repeat_ngram=2)


def reference_options(beams: int, *forced: int) -> dict[str, Any]:
    """The same choices in the reference's words, which force a language to come first and count it among the tokens."""
    language = {"forced_bos_token_id": forced[0]} if forced else {}
    return language | {
        "num_beams": beams,
        "length_penalty": 2.0,
        "max_new_tokens": MAX_NEW_TOKENS + len(forced),
        "no_repeat_ngram_size": 2,
        "do_sample": False,
        "early_stopping": False,
    }


@pytest.mark.parametrize("beams", [1, 5])
def test_tokens_and_text(pair: family.Pair, beams: int) -> None:
    """The whole way from samples; of a multilingual checkpoint, the language is a part of our prompt."""
    reference, model = pair.both(torch.float32)
    settings = settings_for(beams)
    encoded = model.encode(SOUNDS)
    for language in model.capabilities.target_languages[:2]:
        prompt = model.prompt(language)
        ours = decode(model.decoder, encoded, prompt, settings)
        for samples, decoded in zip(SOUNDS, ours, strict=True):
            theirs = reference.generate(
                family.reference_features(samples), **reference_options(beams, *prompt.token_ids[1:])
            )[0].tolist()
            assert [*decoded.token_ids, *([family.EOS] if decoded.finished else [])] == theirs
            text = pair.tokenizer.decode(theirs, skip_special_tokens=True)
            assert model.tokenizer.decode(decoded.token_ids) == text


def test_forced_first_token(pair: family.Pair) -> None:
    """As the reference's documentation asks for a language: its token is forced to come first."""
    if not pair.variant.is_multilingual:
        pytest.skip("one language")
    reference, model = pair.both(torch.float32)
    assert model.capabilities.target_languages == pair.variant.languages
    samples = tiny.sounds()[0]
    answers = set()
    for tag, code in zip(family.TAGS, pair.variant.languages, strict=True):
        (ours,) = decode(model.decoder, model.encode([samples]), model.prompt(code), settings_for(1))
        theirs = reference.generate(
            family.reference_features(samples),
            **reference_options(1, pair.tokenizer.lang_code_to_id[tag]),
        )[0].tolist()
        assert [*ours.token_ids, *([family.EOS] if ours.finished else [])] == theirs
        answers.add(tuple(theirs[2:]))
    assert len(answers) > 1


def test_tokenizer(pair: family.Pair) -> None:
    _, model = pair.both(torch.float32)
    prefix = len(pair.tokenizer.prefix_tokens)
    for text in [*tiny.SENTENCES.lower().splitlines(), "ein Wort, Größe 3", "two", "", "  a  b "]:
        ids = pair.tokenizer(text).input_ids
        assert model.tokenizer.encode(text) == ids[prefix:-1]
        decoded = pair.tokenizer.decode(ids, skip_special_tokens=True)
        assert model.tokenizer.decode(ids) == decoded
    generator = np.random.default_rng(0)
    for _ in range(50):
        ids = generator.integers(0, family.NUM_PIECES, 12).tolist()
        assert model.tokenizer.decode(ids) == pair.tokenizer.decode(ids, skip_special_tokens=True)
        assert model.tokenizer.pieces(ids) == pair.tokenizer.convert_ids_to_tokens(ids)


def test_answers_are_worth_comparing(pair: family.Pair) -> None:
    """Tokens vary, and some answers end."""
    _, model = pair.both(torch.float32)
    prompt = model.prompt(model.capabilities.target_languages[0])
    ours = decode(model.decoder, model.encode(tiny.sounds()), prompt, settings_for(1))
    assert len({token for decoded in ours for token in decoded.token_ids}) >= 6
    assert len({tuple(decoded.token_ids) for decoded in ours}) >= 2
    assert any(decoded.finished for decoded in ours)
