"""Streamed speech against one-shot speech of the same units: nothing lost, nothing twice, no seams to hear."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seamless_stream.audio.fbank import fbank
from seamless_stream.engine.decoding import decode
from seamless_stream.engine.lag import Pace
from seamless_stream.engine.speech import Ask, Omitted, SpeechTrack, Window
from seamless_stream.models.base import Capabilities, Units
from seamless_stream.models.seamless_m4t.model import SeamlessM4T
from seamless_stream.settings import DecodingSettings, SpeechSettings

SIZE = 320
REACH = 5
FAKE = Capabilities(
    family="fake",
    tasks=frozenset({"t2st"}),
    source_languages=("eng",),
    target_languages=("spa",),
    speech_languages=("spa",),
    num_speakers=1,
    sample_rate=16_000,
    streams_speech=True,
    vocoder_reach_units=REACH,
)
WORDS = (
    "▁I ▁would ▁like two ▁coffees , ▁please . ▁It ▁costs ▁3 , 5 ▁euros . ▁Thank ▁you ▁very ▁much !".split()
)


def fake_units(first: int, last: int, per_token: list[int], factor: float = 1.0) -> Units:
    """Unit 100 t + k is the k-th of token t; every third unit is said twice."""
    counts = [max(round(n * factor), 1) for n in per_token[first:last]]
    ids = [100 * t + k for t, n in zip(range(first, last), counts, strict=True) for k in range(n)]
    return Units(ids, counts, [1 + (unit % 3 == 0) for unit in ids])


def fake_vocoder(unit_ids: list[int]) -> np.ndarray:
    """A slow wave that depends on REACH units to the left, and starts from silence as a convolution does."""
    level = np.convolve(np.sin(np.array(unit_ids, float)), np.ones(REACH + 1) / (REACH + 1))[: len(unit_ids)]
    return np.repeat(level, SIZE).astype(np.float32)


@dataclass
class Result:
    """What a streamed segment came to."""

    samples: list[np.ndarray] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    omitted: list[str] = field(default_factory=list)

    @property
    def wave(self) -> np.ndarray:
        return np.concatenate(self.samples)

    @property
    def unit_ids(self) -> list[int]:
        """The new units of all windows, repeated."""
        ends = [(w, len(w.unit_ids) - w.right) for w in self.windows]
        return [unit for w, end in ends for unit in w.unit_ids[end - w.new_units : end]]


def stream(
    track: SpeechTrack,
    pieces: list[str],
    commits: list[int],
    per_token: list[int],
    paces: list[Pace] | None = None,
    released: frozenset[int] = frozenset(),
) -> Result:
    """The engine's side of the contract, with the fakes."""
    result = Result()
    for step, count in enumerate([*commits, len(pieces)]):
        is_final = step == len(commits)
        pace = paces[step % len(paces)] if paces else None
        todo = track.next(pieces[:count], is_final=is_final, pace=pace)
        if isinstance(todo, Omitted):
            result.omitted.append(todo.text)
        elif todo is not None:
            units = fake_units(todo.first, todo.last, per_token, todo.duration_factor)
            window = track.plan(pieces[:count], units, is_final=is_final)
            if window is not None:
                result.windows.append(window)
                result.samples.append(track.play(window, fake_vocoder(window.unit_ids)))
        if step in released:
            result.samples.append(track.release())
    result.samples.append(track.close())
    return result


@settings(max_examples=60, deadline=None)
@given(
    commits=st.lists(st.integers(0, len(WORDS)), max_size=12).map(sorted),
    per_token=st.lists(st.integers(0, 30), min_size=len(WORDS), max_size=len(WORDS)),
    released=st.frozensets(st.integers(0, 12), max_size=4),
    first=st.integers(1, 40),
    crossfade_ms=st.integers(5, 40),
)
def test_nothing_is_lost_or_said_twice(
    commits: list[int], per_token: list[int], released: frozenset[int], first: int, crossfade_ms: int
) -> None:
    options = SpeechSettings(first_piece_units=first, piece_units=2 * first, crossfade_ms=crossfade_ms)
    result = stream(SpeechTrack(options, FAKE), WORDS, commits, per_token, released=released)
    whole = fake_units(0, len(WORDS), per_token)
    wanted = np.repeat(whole.ids, whole.repeats).tolist()
    assert result.unit_ids == wanted
    assert [unit for window in result.windows for unit in window.spoken_ids] == whole.ids
    assert len(result.wave) == SIZE * len(wanted)
    assert all(len(w.unit_ids) - w.new_units - w.right <= REACH + 5 for w in result.windows)
    # This vocoder looks to the left only, so both decodings agree, but where a release or a clause's end fades.
    difference = np.abs(result.wave - fake_vocoder(wanted))
    fades = sum(w.ends_clause for w in result.windows) + len(released)
    assert np.count_nonzero(difference > 1e-5) <= fades * 2 * 160


def test_pieces_are_as_long_as_wanted() -> None:
    """10 units a token: the first piece at 25, then at 50; the comma speaks at once."""
    words = [f"▁w{i}" for i in range(14)] + [",", "▁then", "."]
    per_token = [10] * len(words)
    options = SpeechSettings()
    result = stream(SpeechTrack(options, FAKE), words, list(range(1, len(words))), per_token)
    assert [w.last_token for w in result.windows][:3] == [2, 6, 10]  # a third more by the vocoder's durations
    assert [w.last_token for w in result.windows if w.ends_clause] == [15]
    assert result.windows[-1].last_token == len(words)


def test_a_number_is_no_clause() -> None:
    words = ["▁3", ",", "5", "▁euros"]
    track = SpeechTrack(SpeechSettings(), FAKE)
    per_token = [3] * 4
    assert track.next(words[:3], is_final=False) == Ask(0, 3, 1.0)
    assert track.plan(words[:3], fake_units(0, 3, per_token), is_final=False) is None  # too short
    track = SpeechTrack(SpeechSettings(), FAKE)
    assert track.next(words[:2], is_final=False) == Ask(0, 2, 1.0)
    window = track.plan(words[:2], fake_units(0, 2, per_token), is_final=False)
    assert window is not None and window.ends_clause  # as far as anybody knows yet


def test_context_to_the_right_of_a_clause() -> None:
    track = SpeechTrack(SpeechSettings(), FAKE)
    words = ["▁yes", ",", "▁and", "▁more"]
    assert track.next(words, is_final=False) == Ask(0, 4, 1.0)
    window = track.plan(words, fake_units(0, 4, [4] * 4), is_final=False)
    assert window is not None
    assert (window.last_token, window.right, window.ends_clause) == (2, REACH, True)
    played = track.play(window, fake_vocoder(window.unit_ids))
    assert len(played) == window.new_units * SIZE and not track.is_holding
    assert track.at_border


def test_the_whole_at_once_is_the_one_shot_waveform() -> None:
    per_token = [7] * len(WORDS)
    result = stream(SpeechTrack(SpeechSettings(), FAKE), WORDS, [], per_token)
    np.testing.assert_array_equal(result.wave, fake_vocoder(result.unit_ids))


def test_without_units_of_tokens_it_waits_for_the_end() -> None:
    track = SpeechTrack(SpeechSettings(), Capabilities(**{**vars(FAKE), "streams_speech": False}))
    assert track.next(WORDS[:8], is_final=False) is None
    assert track.next(WORDS, is_final=True) == Ask(0, len(WORDS), 1.0)
    window = track.plan(WORDS, Units([1, 2, 3], [], [1, 1, 2]), is_final=True)
    assert window is not None and window.unit_ids == [1, 2, 3, 3]
    assert len(track.play(window, fake_vocoder(window.unit_ids))) == 4 * SIZE


def test_a_pace_holds_to_the_end_of_its_clause() -> None:
    """Half a clause at one factor, the rest still at it though another is offered; then that one, and it is shorter."""
    per_token = [10] * len(WORDS)
    track = SpeechTrack(SpeechSettings(), FAKE)
    asked = []
    for count, factor in [(4, 1.0), (6, 0.5), (8, 0.5), (15, 1.0)]:
        todo = track.next(WORDS[:count], is_final=False, pace=Pace(factor))
        assert isinstance(todo, Ask)
        asked.append((todo.first, todo.duration_factor))
        window = track.plan(
            WORDS[:count], fake_units(todo.first, todo.last, per_token, factor), is_final=False
        )
        assert window is not None
        track.play(window, fake_vocoder(window.unit_ids))
    assert asked == [(0, 1.0), (0, 1.0), (6, 0.5), (8, 1.0)]


def test_skipped_clauses_are_named_and_the_rest_is_spoken() -> None:
    per_token = [10] * len(WORDS)
    paces = [Pace(), Pace(skips=True), Pace()]
    result = stream(SpeechTrack(SpeechSettings(), FAKE), WORDS, [6, 8], per_token, paces)
    assert result.omitted == ["please."]
    tokens = {unit // 100 for unit in result.unit_ids}
    assert tokens == set(range(len(WORDS))) - {6, 7}


@pytest.mark.parametrize("pace", [Pace(tempo=1.25), Pace(trims_pauses=True, tempo=1.1)])
def test_a_tempo_shortens_all_of_it(pace: Pace) -> None:
    per_token = [10] * len(WORDS)
    result = stream(SpeechTrack(SpeechSettings(), FAKE), WORDS, [3, 6, 9, 14], per_token, [pace])
    assert len(result.wave) == pytest.approx(len(result.unit_ids) * SIZE / pace.tempo, rel=0.03)


TEXTS = [
    ("Where is the train station?", "spa"),
    ("I would like two coffees, please.", "eng"),
    ("It is a quarter past nine.", "spa"),
    ("Excuse me, where is the tourist office?", "eng"),
    ("My train leaves at half past ten on Friday.", "spa"),
]


def spoken(
    model: SeamlessM4T, text: str, language: str, rng: np.random.Generator
) -> tuple[Result, list[int]]:
    """One sentence, committed some words at a time -> its speech and the samples at which pieces join."""
    prompt = len(model.prompt(language).token_ids)
    encoded = model.encode_text([model.tokenizer.encode_source(text, "eng")])
    said = decode(model.decoder, encoded, model.prompt(language), DecodingSettings(max_new_tokens=48))[0]
    pieces = model.tokenizer.pieces(said.token_ids[prompt:])
    words = [i for i, piece in enumerate(pieces) if i and piece.startswith("▁")]
    commits = sorted(rng.choice(words, size=max(len(words) * 2 // 3, 1), replace=False).tolist())
    track, result, seams = SpeechTrack(SpeechSettings(), model.capabilities), Result(), []
    for count in [*commits, len(pieces)]:
        todo = track.next(pieces[:count], is_final=count == len(pieces))
        if not isinstance(todo, Ask):
            continue
        tokens = said.token_ids[:prompt] + said.token_ids[prompt:][todo.first : todo.last]
        hidden = torch.cat(
            [said.hidden[: prompt - 1], said.hidden[prompt - 1 + todo.first : prompt + todo.last]]
        )
        units = model.units([tokens], [hidden], language)[0]
        window = track.plan(pieces[:count], units, is_final=count == len(pieces))
        if window is not None:
            seams.append(sum(map(len, result.samples)))
            result.windows.append(window)
            result.samples.append(track.play(window, model.vocode([window.unit_ids], language, 0)[0]))
    return result, seams[1:]


def log_mel(samples: np.ndarray) -> np.ndarray:
    """Natural logarithms of 80 bands, 10 ms frames, with a floor about 50 dB below speech."""
    return np.maximum(np.asarray(fbank(samples)), 4.0)


def test_seams_are_not_heard(phrasebook: SeamlessM4T) -> None:
    """Against one-shot speech of the same units: as long, no steeper, and at seams no farther than sounds are apart."""
    rng = np.random.default_rng(3)
    at_seams, jumps, steps = [], [], []
    for text, language in TEXTS:
        result, seams = spoken(phrasebook, text, language, rng)
        one_shot = phrasebook.vocode([result.unit_ids], language, 0)[0]
        assert len(result.wave) == len(one_shot) == len(result.unit_ids) * SIZE
        assert np.abs(np.diff(result.wave)).max() <= 1.05 * np.abs(np.diff(one_shot)).max()
        ours, theirs = log_mel(result.wave), log_mel(one_shot)
        frames = [frame for seam in seams for frame in range(seam // 160 - 3, seam // 160 + 6)]
        frames = [frame for frame in frames if 0 < frame < len(ours)]
        at_seams += np.abs(ours - theirs).mean(1)[frames].tolist()
        steps += np.abs(np.diff(theirs, axis=0)).mean(1).tolist()
        jumps += np.abs(np.diff(ours, axis=0)).mean(1)[np.array(frames) - 1].tolist() if frames else []
    assert len(at_seams) >= 40
    assert np.mean(jumps) <= 1.02 * np.mean(steps)
    assert np.percentile(jumps, 95) <= 1.1 * np.percentile(steps, 95)  # of some fifty frames at seams
    # Two decodings of a join are nearer to each other than one frame of speech to the next.
    assert np.percentile(at_seams, 95) <= np.percentile(steps, 50)
