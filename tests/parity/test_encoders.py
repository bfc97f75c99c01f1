"""Features, encoder states and logits against transformers, within 2e-5, 1e-4 (float32) and 1e-9 (float64).

A row of our batches is what the row is alone. The reference's speech encoder lets padding into the last frames
of short rows (its adaptor reads them), so each row is compared with the reference's answer to it alone.
"""

from typing import Any

import pytest
import torch

from seamless_stream.models.base import EncoderOutput
from seamless_stream.models.seamless_m4t.features import Features, extract
from tests.parity import tiny

FEATURE_TOLERANCE = 2e-5
TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-9}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCES, ids=["float32", "float64"])


def close(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


@torch.inference_mode()
def their_speech_states(model: Any, features: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, int]:
    """States [S, D] of one utterance, and how many of them the decoder may see."""
    dtype = next(model.parameters()).dtype
    states = model.speech_encoder(input_features=features.to(dtype), attention_mask=mask).last_hidden_state[0]
    return states, int(model._compute_sub_sample_lengths_from_attention_mask(mask))


@pytest.mark.parametrize("num_samples", [*tiny.SPEECH_SAMPLES, 48_000, 80_001, 719])
def test_features(num_samples: int) -> None:
    samples = tiny.speech(num_samples, seed=num_samples)
    ours = extract(samples)
    theirs, mask = tiny.reference_features(samples)
    close(torch.from_numpy(ours.values), theirs[0], FEATURE_TOLERANCE)
    assert ours.num_valid == int(mask.sum())


@DTYPES
def test_speech_encoder(pair: tiny.Pair, dtype: torch.dtype) -> None:
    reference, model = pair.both(dtype)
    batch = [tiny.reference_features(samples) for samples in tiny.sounds()]
    # The reference's own features, so that only the encoder is compared.
    encoded = model.encode_speech([Features(v[0].numpy(), int(m.sum())) for v, m in batch])
    for row, (values, mask) in enumerate(batch):
        states, length = their_speech_states(reference, values, mask)
        alone = model.encode_speech([Features(values[0].numpy(), int(mask.sum()))])
        close(alone.states[0], states, TOLERANCES[dtype])
        assert int(alone.lengths) == min(length, len(states))
        assert int(encoded.lengths[row]) == int(alone.lengths)
        close(encoded.states[row, : len(states)], states, TOLERANCES[dtype])


def test_chunks_bind(pair: tiny.Pair) -> None:
    """The comparison above says nothing of a chunk mask that changes nothing."""
    config = pair.reference.speech_encoder.encoder.config
    bound = config.speech_encoder_chunk_size
    values, mask = tiny.reference_features(tiny.speech(max(tiny.SPEECH_SAMPLES), seed=0))
    states, _ = their_speech_states(pair.reference, values, mask)
    config.speech_encoder_chunk_size = 20_000
    try:
        unbound, _ = their_speech_states(pair.reference, values, mask)
    finally:
        config.speech_encoder_chunk_size = bound
    assert bool((states - unbound).abs().max() > 0.01) == ("speech_encoder_chunk_size" in pair.variant.config)


@DTYPES
def test_text_encoder_and_logits(pair: tiny.Pair, dtype: torch.dtype) -> None:
    """Also batched, where the reference masks padding exactly."""
    reference, model = pair.both(dtype)
    ids = [model.tokenizer.encode_source(text, "eng") for text in tiny.texts()]
    encoded = model.encode_text(ids)
    batch = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in ids], batch_first=True)
    mask = (torch.arange(batch.shape[1])[None] < encoded.lengths[:, None]).long()
    with torch.inference_mode():
        theirs = reference.text_encoder(input_ids=batch, attention_mask=mask).last_hidden_state
        targets = torch.tensor([[3, 95, 10, 11, 40, 7, 3, 12]] * len(ids))
        expected = reference.text_decoder(
            input_ids=targets, encoder_hidden_states=theirs, encoder_attention_mask=mask
        ).last_hidden_state
        logits = reference.lm_head(expected)
    for row, length in enumerate(encoded.lengths.tolist()):
        close(encoded.states[row, :length], theirs[row, :length], TOLERANCES[dtype])
    check_decoder(model, encoded, targets, expected, logits, TOLERANCES[dtype])


def check_decoder(
    model: Any,
    encoded: EncoderOutput,
    targets: torch.Tensor,
    expected: torch.Tensor,
    logits: torch.Tensor,
    tolerance: float,
) -> None:
    """A prompt of two, three tokens at once, then one by one; rows change places and come back on the way."""
    state = model.decoder.init_state(encoded)
    order = torch.arange(len(targets)).flip(0)
    with torch.inference_mode():
        first = 0
        for count in (2, 3, 1, 1, 1):
            piece = slice(first, first + count)
            step = model.decoder.step(targets[:, piece], state, num_logits=len(targets[0, piece]))
            close(step.hidden, expected[:, piece], tolerance)
            close(step.logits, logits[:, piece], tolerance)
            state = step.state.reorder(order).reorder(order)
            first += count
