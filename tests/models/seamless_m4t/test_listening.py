"""Open segments: every mode against the offline encoder or its own slow twin, under random cuts and in company."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seamless_stream.audio.fbank import fbank
from seamless_stream.errors import AudioError, SettingsError
from seamless_stream.models.base import EncoderMode
from seamless_stream.models.seamless_m4t import listening
from seamless_stream.models.seamless_m4t.config import SeamlessM4TConfig
from seamless_stream.models.seamless_m4t.encoder import SpeechEncoder
from seamless_stream.models.seamless_m4t.features import (
    NO_STATISTICS,
    Statistics,
    extract,
    normalise_running,
    running,
    stack,
)
from seamless_stream.models.seamless_m4t.listening import Reach, SpeechListening

TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-9}
MODES: tuple[EncoderMode, ...] = ("chunked", "reencode", "windowed")
SMALL = SeamlessM4TConfig(
    hidden_size=32,
    speech_encoder_layers=2,
    speech_encoder_attention_heads=4,
    speech_encoder_intermediate_size=48,
    conv_depthwise_kernel_size=7,
    left_max_position_embeddings=10,
    right_max_position_embeddings=3,
    speech_encoder_chunk_size=16,
    speech_encoder_left_chunk_num=3,
)
MEAN, DEVIATION = np.full(80, 9.0), np.full(80, 2.0)
CONFIGS = {
    "phrasebook_like": SMALL,
    # Chunks that end inside an encoder state, and outputs whose validity the reference counts differently.
    "odd": replace(
        SMALL,
        speech_encoder_chunk_size=5,
        speech_encoder_left_chunk_num=1,
        adaptor_kernel_size=7,
        adaptor_stride=6,
        num_adapter_layers=2,
    ),
    "gaps": replace(SMALL, adaptor_kernel_size=3, adaptor_stride=8, speech_encoder_chunk_size=3),
    "full_context": replace(SMALL, speech_encoder_chunk_size=20_000, speech_encoder_left_chunk_num=128),
}


@cache
def encoder(name: str, dtype: torch.dtype = torch.float64) -> SpeechEncoder:
    torch.manual_seed(1)
    return SpeechEncoder(CONFIGS[name]).to(dtype).eval()


@cache
def speech(num_samples: int, seed: int = 0) -> np.ndarray:
    """Noise whose loudness comes and goes, so that running statistics move."""
    rng = np.random.default_rng(seed)
    envelope = 0.002 + 0.1 * np.abs(np.sin(np.arange(num_samples) / 5_000 + seed)) ** 3
    return (envelope * rng.standard_normal(num_samples)).astype(np.float32)


@dataclass
class Ear:
    """One segment that is pushed bit by bit; `seen` has each state by the samples that it is made of."""

    encoder: SpeechEncoder
    segment: SpeechListening

    def __post_init__(self) -> None:
        self.seen: dict[int, Tensor] = {}

    def push(self, samples: np.ndarray, ended: bool = False) -> None:
        self.take(hear(self.encoder, [self.segment], [samples], [ended])[0])

    def take(self, segment: SpeechListening) -> None:
        if segment.encoded is not self.segment.encoded and segment.encoded is not None:
            self.seen[segment.heard_samples] = segment.encoded.states
            assert segment.encoded.lengths.tolist() == [segment.encoded.states.shape[1]]
        self.segment = segment


@torch.inference_mode()
def hear(
    model: SpeechEncoder, segments: list[SpeechListening], samples: list[np.ndarray], ended: list[bool]
) -> list[SpeechListening]:
    return listening.listen(model, segments, samples, ended)


def ear(model: SpeechEncoder, mode: EncoderMode | None, **kwargs: object) -> Ear:
    return Ear(model, listening.open_segment(model, mode, None, **kwargs))  # type: ignore[arg-type]


def in_cuts(ear: Ear, samples: np.ndarray, cuts: list[int]) -> Ear:
    at = 0
    for cut in [*cuts, len(samples)]:
        ear.push(samples[at : at + cut])
        at += cut
    return ear


@torch.inference_mode()
def offline(model: SpeechEncoder, values: np.ndarray) -> Tensor:
    """States [1, S, D] of stacked features [T, 160] that are all valid."""
    sizes = torch.tensor([len(values)])
    states, lengths = model(torch.from_numpy(values)[None].to(model.norm.weight.dtype), sizes, sizes)
    return states[:, : int(lengths)]


def running_features(samples: np.ndarray, step: int, per_step: bool) -> np.ndarray:
    """The slow twin: whole steps of `step` frames, each normalised with what was known at its end, or at the end."""
    frames = fbank(samples)
    size = 2 * step
    steps = [frames[at : at + size] for at in range(0, len(frames) - size + 1, size)]
    known = [running(Statistics.of(frames[: size * (i + 1)]), NO_STATISTICS) for i in range(len(steps))]
    if not per_step:
        known = [known[-1]] * len(steps)
    return np.concatenate([stack(normalise_running(*pair)).values for pair in zip(steps, known, strict=True)])


def assert_close(ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


cuts_of_speech = st.lists(st.integers(0, 6_000), max_size=6)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=["float32", "float64"])
@pytest.mark.parametrize("name", ["phrasebook_like", "odd", "gaps"])
@pytest.mark.parametrize("seed", range(3))
def test_chunked_equals_the_offline_encoder(name: str, dtype: torch.dtype, seed: int) -> None:
    """At every grid point that was seen, with caches long full."""
    model, samples = encoder(name, dtype), speech(60_000, seed)
    cuts = np.random.default_rng(seed).integers(0, 12_000, 8).tolist()
    heard = in_cuts(ear(model, "chunked"), samples, cuts)
    step = CONFIGS[name].speech_encoder_chunk_size
    assert max(heard.seen) == (60_000 - 240) // (320 * step) * 320 * step + 240
    for num_samples, states in heard.seen.items():
        values = running_features(samples[:num_samples], step, per_step=True)
        assert_close(states, offline(model, values), TOLERANCES[dtype])


def test_the_chunk_mask_binds() -> None:
    """Otherwise the comparison above would say nothing."""
    values = running_features(speech(60_000), 16, per_step=True)
    bound = offline(encoder("phrasebook_like"), values)
    assert (bound - offline(encoder("full_context"), values)).abs().max() > 0.01


@pytest.mark.parametrize("name", ["phrasebook_like", "full_context"])
def test_reencode_equals_the_offline_encoder(name: str) -> None:
    model, samples = encoder(name), speech(40_000)
    heard = in_cuts(ear(model, "reencode"), samples, [3_000] * 10)
    assert len(heard.seen) > 5
    for num_samples, states in heard.seen.items():
        assert (num_samples - 240) % 5_120 == 0
        values = running_features(samples[:num_samples], 16, per_step=False)
        assert_close(states, offline(model, values), 1e-9)


def test_windowed_equals_chunked_where_chunks_bind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame is settled when its chunk is complete, so with the same statistics the states are the same."""
    monkeypatch.setattr(listening, "running", lambda heard, earlier: Statistics.like(MEAN, DEVIATION, 1_000))
    model, samples = encoder("phrasebook_like"), speech(60_000)
    reach = Reach(left_frames=63)  # all that the chunk mask shows
    windowed = in_cuts(ear(model, "windowed", reach=reach), samples, [5_120] * 11)
    chunked = in_cuts(ear(model, "chunked"), samples, [5_120] * 11)
    assert windowed.seen.keys() == chunked.seen.keys() and len(chunked.seen) == 11
    for num_samples, states in windowed.seen.items():
        assert_close(states, chunked.seen[num_samples], 1e-9)


def test_windowed_with_enough_reach_is_the_whole_segment() -> None:
    """Nothing settled: the same as encoding it again."""
    model, samples = encoder("full_context"), speech(50_000)
    one = in_cuts(ear(model, "windowed", reach=Reach(right_frames=1_000)), samples, [7_000] * 7)
    two = in_cuts(ear(model, "reencode"), samples, [7_000] * 7)
    assert len(one.seen) > 5
    for num_samples, states in one.seen.items():
        assert_close(states, two.seen[num_samples], 1e-9)


def test_windowed_is_bounded() -> None:
    model, samples = encoder("full_context"), speech(100_000)
    heard = in_cuts(ear(model, "windowed"), samples, [])
    assert heard.segment.stream is not None
    assert heard.segment.stream.conformer.num_cached == 200


@settings(max_examples=6, deadline=None)
@given(cuts=cuts_of_speech, mode=st.sampled_from(MODES), name=st.sampled_from(list(CONFIGS)))
def test_any_cuts_give_the_same_states(cuts: list[int], mode: EncoderMode, name: str) -> None:
    samples = speech(sum(cuts) + 4_000)
    model = encoder(name)
    fine = in_cuts(ear(model, mode), samples, [900] * (len(samples) // 900))
    coarse = in_cuts(ear(model, mode), samples, cuts)
    assert set(coarse.seen) <= set(fine.seen)
    for num_samples, states in coarse.seen.items():
        assert_close(states, fine.seen[num_samples], 1e-9)
    assert (coarse.segment.heard_samples, coarse.segment.num_samples) == (
        fine.segment.heard_samples,
        fine.segment.num_samples,
    )


def test_sample_by_sample() -> None:
    model, samples = encoder("odd"), speech(4_000)
    single = in_cuts(ear(model, "chunked"), samples, [1] * 4_000)
    for num_samples, states in single.seen.items():
        whole = in_cuts(ear(model, "chunked"), samples[:num_samples], [])
        assert_close(whole.seen[num_samples], states, 1e-9)
    assert len(single.seen) == (4_000 - 240) // 1_600


@settings(max_examples=5, deadline=None)
@given(data=st.data(), name=st.sampled_from(["phrasebook_like", "odd", "full_context"]))
def test_company_changes_nothing(data: st.DataObject, name: str) -> None:
    """Sessions of all modes join, wait, hear much or little and end; each hears what it hears alone."""
    model = encoder(name)
    together = [ear(model, mode) for mode in (*MODES, None, *MODES)]
    alone = [ear(model, other.segment.mode) for other in together]
    places, open_rows = [0] * len(together), list(range(len(together)))
    for _ in range(6):
        rows = [row for row in open_rows if data.draw(st.booleans())]
        new, ends = [], []
        for row in rows:
            count = data.draw(st.sampled_from([0, 1, 700, 5_120, 17_000]))
            new.append(speech(110_000, row)[places[row] : places[row] + count])
            places[row] += count
            ends.append(places[row] > 560 and data.draw(st.integers(0, 5)) == 0)
        segments = hear(model, [together[row].segment for row in rows], new, ends)
        for row, segment, samples, is_end in zip(rows, segments, new, ends, strict=True):
            together[row].take(segment)
            alone[row].push(samples, is_end)
        open_rows = [row for row in open_rows if row not in rows or not ends[rows.index(row)]]
    for one, other in zip(alone, together, strict=True):
        assert one.seen.keys() == other.seen.keys()
        assert one.segment.nbytes == other.segment.nbytes
        for num_samples, states in one.seen.items():
            assert_close(other.seen[num_samples], states, 1e-9)


@pytest.mark.parametrize("mode", [*MODES, None])
@pytest.mark.parametrize("num_samples", [560, 719, 720, 33_333])
def test_the_end_is_the_offline_model(mode: EncoderMode | None, num_samples: int) -> None:
    model, samples = encoder("phrasebook_like"), speech(num_samples)
    heard = in_cuts(ear(model, mode), samples, [500] * (num_samples // 500))
    heard.push(samples[:0], ended=True)
    with torch.inference_mode():
        expected = listening.encode(model, [extract(samples)])
    encoded = heard.segment.encoded
    assert encoded is not None and encoded.lengths.tolist() == expected.lengths.tolist()
    assert_close(encoded.states, expected.states[:, : int(expected.lengths)], 1e-9)
    assert heard.segment.heard_samples == num_samples


def test_without_a_mode_it_hears_only_at_the_end() -> None:
    heard = in_cuts(ear(encoder("odd"), None), speech(30_000), [100] * 100)
    assert not heard.seen and heard.segment.heard_samples == 0


def test_nothing_new_keeps_the_same_object() -> None:
    heard = in_cuts(ear(encoder("odd"), "chunked"), speech(9_000), [])
    before = heard.segment.encoded
    heard.push(speech(100))
    assert before is not None and heard.segment.encoded is before


def test_too_short_and_unknown_are_named() -> None:
    model = encoder("odd")
    with pytest.raises(AudioError, match="at least 560 samples"):
        ear(model, "chunked").push(speech(559), ended=True)
    with pytest.raises(SettingsError, match="`encoder_mode` must be"):
        ear(model, "offline")  # type: ignore[arg-type]


def test_a_value_can_be_heard_twice() -> None:
    """Nothing is changed in place: from one value two futures."""
    model, samples = encoder("phrasebook_like"), speech(30_000)
    start = in_cuts(ear(model, "chunked"), samples[:12_000], []).segment
    ends = []
    for _ in range(2):
        again = Ear(model, start)
        in_cuts(again, samples[12_000:], [])
        ends.append(again.segment.encoded)
    assert ends[0] is not None and ends[1] is not None
    assert torch.equal(ends[0].states, ends[1].states)


def test_memory_is_counted_and_given_back() -> None:
    """All tensors are memory of their own, not views into a batch."""
    model = encoder("phrasebook_like")
    pair = [ear(model, "chunked"), ear(model, "chunked")]
    segments = hear(model, [e.segment for e in pair], [speech(60_000), speech(20_000)], [False, False])
    for segment in segments:
        assert segment.stream is not None and segment.encoded is not None
        for layer in segment.stream.conformer.layers:
            keys = layer.attention.keys
            assert keys.untyped_storage().nbytes() == keys.numel() * keys.element_size()
        assert segment.nbytes > sum(step.nbytes for step in segment.steps) + segment.stream.nbytes


def test_earlier_segments_are_the_prior() -> None:
    model = encoder("phrasebook_like")
    first = ear(model, "chunked")
    first.push(speech(80_000), ended=True)
    second = listening.open_segment(model, "chunked", first.segment)
    assert second.earlier.count == 498
    third = replace(first.segment, heard=first.segment.heard.worth(9_000))
    assert listening.open_segment(model, "chunked", third).earlier.count == listening.MAX_EARLIER_FRAMES


def test_the_default_mode_is_what_the_chunk_size_says() -> None:
    assert listening.modes(16)[0] == "chunked"
    assert listening.modes(20_000)[0] == "reencode"
    assert set(listening.modes(16)) == set(listening.modes(20_000)) == set(MODES)
