"""Ten minutes of each sound that is no speech: the detector lets nothing through but a rare short burst of music, and
whatever sentence a decoder makes of such a burst, the guard leaves nothing of it.

The detector's network is run here with its convolutions over all windows at once, which is why this takes seconds; a
test holds that to the product's own detector, which also sleeps while a cheap gate hears nothing.
"""

from collections.abc import Callable

import numpy as np
import pytest

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.pcm import Samples
from seamless_stream.audio.segmenter import SegmentClosed, Segmenter
from seamless_stream.audio.vad import VAD_WINDOW_SAMPLES
from seamless_stream.engine.engine import VADS, Engine
from seamless_stream.engine.guards import guard
from seamless_stream.engine.hypothesis import Hypothesis
from seamless_stream.events import Event, Final, Partial, Skipped, Speech
from seamless_stream.models.base import SpeechTranslator
from seamless_stream.models.vad import SileroVad, load_silero
from seamless_stream.settings import SegmenterSettings, SessionSettings

DURATION_S = 600
_BLOCK = 500  # windows
_CHUNK = 300 * VAD_WINDOW_SAMPLES

Generator = np.random.Generator


def seconds_of(duration: float) -> np.ndarray:
    return np.arange(int(duration * SAMPLE_RATE)) / SAMPLE_RATE


def silence(duration: float, rng: Generator) -> np.ndarray:
    return np.zeros(len(seconds_of(duration)))


def white_noise(duration: float, rng: Generator) -> np.ndarray:
    """Its level rises from -60 to -10 dB."""
    noise = rng.standard_normal(len(seconds_of(duration)))
    rising: np.ndarray = noise * np.geomspace(1e-3, 0.3, len(noise))
    return rising


def hum(duration: float, rng: Generator) -> np.ndarray:
    """The mains with harmonics."""
    t = seconds_of(duration)
    tones: np.ndarray = np.sum([0.1 / k * np.sin(2 * np.pi * 50 * k * t) for k in (1, 2, 3, 5)], axis=0)
    return tones


def clicks(duration: float, rng: Generator) -> np.ndarray:
    """Bursts of 10 ms, several a second."""
    click = np.exp(-np.arange(160) / 30) * rng.standard_normal(160)
    sound = np.zeros(len(seconds_of(duration)))
    for start in rng.integers(0, len(sound) - 160, size=int(3 * duration)):
        sound[start : start + 160] += 0.5 * click
    return sound


def note(frequency: float, duration: float, decay: float) -> np.ndarray:
    t = seconds_of(duration)
    tones = np.sum([np.sin(2 * np.pi * frequency * k * t) / k for k in range(1, 6)], axis=0)
    faded: np.ndarray = tones * np.exp(-decay * t)
    return faded


def melody(duration: float, rng: Generator) -> np.ndarray:
    """Plucked notes of two octaves, one after the other; half a minute of them, again and again."""
    notes = [0.15 * note(220 * 2 ** (rng.integers(24) / 12), rng.uniform(0.2, 0.6), 3) for _ in range(100)]
    return np.resize(np.concatenate(notes), len(seconds_of(duration)))


def chords(duration: float, rng: Generator) -> np.ndarray:
    """Major chords, half a minute of them, again and again."""
    parts = []
    for _ in range(40):
        base, length = 220 * 2 ** (rng.integers(12) / 12), rng.uniform(0.4, 1)
        parts.append(np.sum([0.08 * note(base * 2 ** (step / 12), length, 2) for step in (0, 4, 7)], axis=0))
    return np.resize(np.concatenate(parts), len(seconds_of(duration)))


SOUNDS: tuple[Callable[[float, Generator], np.ndarray], ...] = (
    silence,
    white_noise,
    hum,
    clicks,
    melody,
    chords,
)


def sounds(duration: float) -> Samples:
    """All of them, [B, N] float32, whole windows."""
    made = [sound(duration, np.random.default_rng(7)) for sound in SOUNDS]
    length = int(duration * SAMPLE_RATE) // VAD_WINDOW_SAMPLES * VAD_WINDOW_SAMPLES
    clipped: Samples = np.clip(np.stack(made)[:, :length], -1, 1).astype(np.float32)
    return clipped


def probabilities(streams: Samples) -> np.ndarray:
    """Streams [B, N] -> the network's probability of every window [B, W]."""
    network = load_silero()
    windows = streams.reshape(len(streams), -1, VAD_WINDOW_SAMPLES)  # [B, W, 512]
    state = network.init_state(len(streams))
    size = state.context.shape[1]
    before = np.concatenate((state.context[:, None], windows[:, :-1, -size:]), axis=1)  # [B, W, 64]
    h, c = state.h, state.c
    found = []
    for start in range(0, windows.shape[1], _BLOCK):
        block = slice(start, start + _BLOCK)
        x = np.concatenate((before[:, block], windows[:, block]), axis=2)
        features = network.features(x.reshape(-1, x.shape[2]))  # [B * W, 128]
        for step in features.reshape(len(streams), -1, features.shape[1]).swapaxes(0, 1):
            probability, h, c = network.cell(step, h, c)
            found.append(probability)
    return np.stack(found, axis=1)


class KnownVad:
    """A detector whose probabilities were computed before."""

    def __init__(self, known: np.ndarray) -> None:
        self._known: list[float] = known.tolist()

    def reset(self) -> None:
        pass

    def push(self, samples: Samples) -> list[float]:
        num_windows = len(samples) // VAD_WINDOW_SAMPLES
        found, self._known = self._known[:num_windows], self._known[num_windows:]
        return found


def with_burst(known: np.ndarray) -> np.ndarray:
    """Probabilities [W], as if the detector had been wrong for 0.2 s, as it rarely is where there is music."""
    burst = known.copy()
    burst[100:106] = 0.9
    return burst


def heard_samples(vad: KnownVad | SileroVad, samples: Samples) -> list[int]:
    """How long the segments are."""
    segmenter = Segmenter(vad, SegmenterSettings())
    events = [*segmenter.push(samples), *segmenter.flush()]
    return [event.end - event.start for event in events if isinstance(event, SegmentClosed)]


def sentence(num_tokens: int, num_samples: int) -> Hypothesis:
    """What a decoder says about so much sound."""
    return Hypothesis(
        "spa",
        tuple(range(10, 10 + num_tokens)),
        score=-0.4,
        is_complete=True,
        starts_word=(True,) * num_tokens,
        heard_samples=num_samples,
    )


@pytest.fixture(scope="module")
def ten_minutes() -> tuple[Samples, np.ndarray]:
    """Every sound, and what the detector's network says to each of its windows."""
    streams = sounds(DURATION_S)
    return streams, probabilities(streams)


def test_ten_minutes_of_noise_open_no_segment_that_a_sentence_fits_into(
    ten_minutes: tuple[Samples, np.ndarray],
) -> None:
    streams, found = ten_minutes
    assert found.shape == (len(SOUNDS), DURATION_S * SAMPLE_RATE // VAD_WINDOW_SAMPLES)
    heard = {
        sound.__name__: heard_samples(KnownVad(row), stream)
        for sound, row, stream in zip(SOUNDS, found, streams, strict=True)
    }
    music = heard.pop("melody")
    assert heard == {sound.__name__: [] for sound in SOUNDS if sound is not melody}
    assert len(music) <= 1
    [burst] = heard_samples(KnownVad(with_burst(found[0])), streams[0])
    for num_samples in (*music, burst):
        guarded = guard(sentence(7, num_samples))
        assert guarded.hypothesis.token_ids == ()
        assert guarded.reason


def test_ten_minutes_of_noise_leave_no_word_of_the_bundled_model(
    ten_minutes: tuple[Samples, np.ndarray], phrasebook: SpeechTranslator, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(phrasebook)
    for sound, stream, row in zip(SOUNDS, *ten_minutes, strict=True):
        is_music = sound in (melody, chords)
        known = with_burst(row) if is_music else row
        monkeypatch.setitem(VADS, "silero", lambda known=known: KnownVad(known))
        session = engine.open(SessionSettings(target_languages=("spa",), task="s2st"))
        events: list[Event] = []
        for chunk in np.split(stream, range(_CHUNK, len(stream), _CHUNK)):
            session.push(chunk)
            while engine.step():
                pass
            events += session.events()
        session.finish()
        while engine.step():
            pass
        events += session.events()
        engine.close(session)
        assert session.position_s == len(stream) / SAMPLE_RATE
        assert any(isinstance(e, Skipped) and e.what == "text" for e in events) == is_music
        assert [e for e in events if isinstance(e, Partial) and e.committed] == []
        assert [e for e in events if isinstance(e, Final) and e.text] == []
        assert [e for e in events if isinstance(e, Speech)] == []


def test_the_product_detector_hears_no_speech_either() -> None:
    for sound, stream in zip(SOUNDS, sounds(10), strict=True):
        assert len(heard_samples(SileroVad(), stream)) <= (sound is melody)


def test_the_fast_run_is_the_network_of_the_product() -> None:
    streams = sounds(1)
    expected = [SileroVad(gate=False).push(stream) for stream in streams]
    assert probabilities(streams) == pytest.approx(np.array(expected), abs=1e-5)


def test_a_detector_that_hears_speech_would_be_noticed() -> None:
    samples = np.zeros(62 * VAD_WINDOW_SAMPLES, np.float32)
    assert heard_samples(KnownVad(np.full(62, 0.9)), samples) == [len(samples)]
