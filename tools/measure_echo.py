"""Measure the echo guard: how much of our own speech it silences, and how much of other people's.

    python -m tools.measure_echo [--scenes 20] [--enter 0.40 --keep 0.28]

Our speech is the phrasebook's, synthesized; people are the bundled recordings, or the phrasebook's own voice with other
sentences (the hardest case). A scene is 20 to 30 s with an invented loudspeaker, room, noise, level and delay.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from seamless_stream import Translator, load
from seamless_stream.audio import echo
from seamless_stream.audio.echo import EchoGuard
from seamless_stream.audio.files import read
from seamless_stream.audio.pcm import Samples
from tools.phrasebook import rooms
from tools.phrasebook.grammar import Grammar, load_grammar

SAMPLES: Final = Path(__file__).parents[1] / "seamless_stream" / "checkpoints" / "samples"
RATE: Final = 16_000
CHUNK: Final = RATE // 50
FRAME: Final = RATE // 50
LANGUAGES: Final = {"eng": "spa", "spa": "eng"}  # of our speech, and what it is translated from
RECORDINGS: Final = {"eng": "english.flac", "spa": "spanish.flac"}
SPEECH_DB: Final = -30.0  # below its level a frame is a pause

People = Literal["none", "recorded", "own voice"]


@dataclass(frozen=True, eq=False)
class Speech:
    """What can be said, by language: sentences of our voice, for us and for somebody else, and recorded people."""

    ours: dict[str, list[Samples]]
    same_voice: dict[str, list[Samples]]
    recorded: dict[str, Samples]


@dataclass(frozen=True)
class Case:
    """Levels in dB below full scale; None: nothing of it. `people_over_db`: above the echo, where there is one."""

    name: str
    people: People
    echo_db: tuple[float, float] | None
    people_db: tuple[float, float] = (-40.0, -12.0)
    people_over_db: tuple[float, float] | None = None
    snr_db: tuple[float, float] = (5.0, 30.0)


CASES: Final = (
    Case("echo alone", "none", (-45.0, -15.0)),
    Case("echo alone, loud noise", "none", (-45.0, -15.0), snr_db=(-3.0, 5.0)),
    Case("others talk, no echo", "recorded", None),
    Case("others with our voice, no echo", "own voice", None),
    Case("echo, others 6 to 12 dB louder", "recorded", (-45.0, -27.0), people_over_db=(6.0, 12.0)),
    Case("echo, others 0 to 6 dB louder", "recorded", (-40.0, -20.0), people_over_db=(0.0, 6.0)),
    Case("echo, others 3 to 10 dB softer", "recorded", (-40.0, -15.0), people_over_db=(-10.0, -3.0)),
)


@dataclass(frozen=True, eq=False)
class Scene:
    """What is said, and what the microphone hears of it and of people; all of one length."""

    ours: list[tuple[int, Samples]]  # from this place on
    echo: Samples
    people: Samples
    noise: Samples


@dataclass
class Score:
    """Seconds."""

    echo_s: float = 0.0
    echo_heard_s: float = 0.0  # not silenced
    people_s: float = 0.0
    people_lost_s: float = 0.0
    sentences: int = 0
    sentences_heard: int = 0  # of the echo, more than half a second of it
    found: int = 0
    total_s: float = 0.0


def sentences(translator: Translator, grammar: Grammar, count: int) -> Speech:
    """Twice `count` of each language, of templates drawn by chance."""
    rng = np.random.default_rng(1)
    said: dict[str, list[Samples]] = {}
    for language, source in LANGUAGES.items():
        said[language] = []
        for index in rng.permutation(len(grammar.templates)):
            text = grammar.render(grammar.templates[index], 0)[source]
            answer = translator.translate(
                text=text, source_language=source, target_language=language, task="t2st"
            )
            if len(answer.speech) >= RATE:
                said[language].append(answer.speech)
            if len(said[language]) == 2 * count:
                break
    recorded = {language: read(SAMPLES / name) for language, name in RECORDINGS.items()}
    ours = {language: found[:count] for language, found in said.items()}
    return Speech(ours, {language: found[count:] for language, found in said.items()}, recorded)


def loudspeaker(samples: Samples, rng: np.random.Generator) -> Samples:
    """Its own clock (up to 200 ppm), sometimes its distortion, no bass; then the room."""
    place = np.arange(len(samples))
    out = np.interp(place * (1 + rng.uniform(-2e-4, 2e-4)), place, samples).astype(np.float32)
    if rng.random() < 0.3:
        out = np.tanh(out / (np.abs(out).max() + 1e-9) * rng.uniform(1.0, 2.5)).astype(np.float32)
    size = 1 << (len(out) - 1).bit_length()
    hertz = np.maximum(np.fft.rfftfreq(size, 1 / RATE), 1.0)
    gain = 1 / np.sqrt(1 + (rng.uniform(150, 500) / hertz) ** 4)
    out = np.fft.irfft(np.fft.rfft(out, size) * gain, size)[: len(out)].astype(np.float32)
    return rooms.reverberate(rooms.equalize(out, rng), rng)


def talk(
    pieces: Sequence[Samples], gap_s: tuple[float, float], rng: np.random.Generator
) -> list[tuple[int, Samples]]:
    """One behind the other with pauses."""
    placed, place = [], RATE // 2
    for piece in pieces:
        placed.append((place, piece))
        place += len(piece) + int(rng.uniform(*gap_s) * RATE)
    return placed


def join(placed: Sequence[tuple[int, Samples]], length: int) -> Samples:
    whole = np.zeros(length, np.float32)
    for place, piece in placed:
        part = piece[: max(0, length - place)]
        whole[place : place + len(part)] = part
    return whole


def draw(case: Case, speech: Speech, language: str, rng: np.random.Generator) -> Scene:
    """One scene."""
    ours = talk(
        [speech.ours[language][i] for i in rng.permutation(len(speech.ours[language]))[:8]], (0.2, 1.0), rng
    )
    length = ours[-1][0] + len(ours[-1][1]) + 2 * RATE
    heard = people = np.zeros(length, np.float32)
    echo_db = None if case.echo_db is None else rng.uniform(*case.echo_db)
    if echo_db is not None:
        delay = int(rng.uniform(0.02, 0.8) * RATE)
        path = rooms.set_level(loudspeaker(join(ours, length), rng), echo_db)
        heard = np.concatenate((np.zeros(delay, np.float32), path[: length - delay]))
    if case.people != "none":
        if case.people == "recorded":
            record = speech.recorded[language if rng.random() < 0.5 else LANGUAGES[language]]
            people = np.resize(np.roll(record, rng.integers(len(record))), length)
        else:
            others = speech.same_voice[language]
            people = join(talk([others[i] for i in rng.permutation(len(others))], (0.1, 0.4), rng), length)
        if rng.random() < 0.7:
            people = rooms.reverberate(people, rng)
        over = case.people_over_db
        level = (
            rng.uniform(*case.people_db) if over is None or echo_db is None else echo_db + rng.uniform(*over)
        )
        people = rooms.set_level(people, level)
    loudest = max(rooms.speech_rms(heard), rooms.speech_rms(people))
    noise = rooms.coloured_noise(length, rng.uniform(0.0, 7.0), rng)
    noise *= loudest * 10 ** (-rng.uniform(*case.snr_db) / 20) / noise.std()
    return Scene(ours, heard, people, noise)


def spoken(samples: Samples) -> np.ndarray:
    """[n] frames of 20 ms in which somebody speaks."""
    level = rooms.speech_rms(samples)
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    rms: np.ndarray = np.sqrt(np.mean(np.square(frames), axis=1))
    return rms > max(1e-7, level * 10 ** (SPEECH_DB / 20))


def hear(scene: Scene) -> tuple[Samples, int]:
    """What the guard lets through, and how many echoes it tells of."""
    guard, waiting, out, count = EchoGuard(), list(scene.ours), [], 0
    heard = np.clip(scene.echo + scene.people + scene.noise, -1, 1).astype(np.float32)
    for place in range(0, len(heard), CHUNK):
        while waiting and waiting[0][0] <= place:
            guard.speech.say(waiting.pop(0)[1], place)
        out.append(guard.push(heard[place : place + CHUNK]))
        count += len(guard.found())
    out.append(guard.flush())
    return np.concatenate(out), count + len(guard.finish())


def score(scene: Scene, total: Score) -> None:
    """Add one scene."""
    heard, count = hear(scene)
    is_silent = ~np.any(heard[: len(heard) // FRAME * FRAME].reshape(-1, FRAME), axis=1)
    is_echo, is_people = spoken(scene.echo), spoken(scene.people)
    frame_s = FRAME / RATE
    total.found += count
    total.total_s += len(heard) / RATE
    total.echo_s += frame_s * np.count_nonzero(is_echo & ~is_people)
    total.echo_heard_s += frame_s * np.count_nonzero(is_echo & ~is_people & ~is_silent)
    total.people_s += frame_s * np.count_nonzero(is_people)
    total.people_lost_s += frame_s * np.count_nonzero(is_people & is_silent)
    if is_echo.any() and not is_people.any():
        delay = int(np.argmax(is_echo)) - scene.ours[0][0] // FRAME
        for place, piece in scene.ours:
            first = place // FRAME + delay
            frames = slice(first, first + len(piece) // FRAME)
            total.sentences += 1
            total.sentences_heard += bool(
                np.count_nonzero(is_echo[frames] & ~is_silent[frames]) * frame_s > 0.5
            )


def measure(speech: Speech, num_scenes: int) -> Iterator[tuple[Case, Score]]:
    """Every case."""
    for number, case in enumerate(CASES):
        total, rng = Score(), np.random.default_rng(number)
        for index in range(num_scenes):
            score(draw(case, speech, list(LANGUAGES)[index % 2], rng), total)
        yield case, total


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=20, help="of each case")
    parser.add_argument("--enter", type=float, default=echo.ENTER)
    parser.add_argument("--keep", type=float, default=echo.KEEP)
    options = parser.parse_args()
    echo.ENTER, echo.KEEP = options.enter, options.keep  # type: ignore[misc]
    speech = sentences(load("phrasebook"), load_grammar(), 20)
    print(
        f"{'case':32} {'echo s':>7} {'heard':>7} {'sentences':>10} {'people s':>9} {'lost':>7} {'found':>6}"
    )
    for case, total in measure(speech, options.scenes):
        heard = f"{total.echo_heard_s / total.echo_s:.1%}" if total.echo_s else ""
        lost = f"{total.people_lost_s / total.people_s:.2%}" if total.people_s else ""
        whole = f"{total.sentences_heard}/{total.sentences}" if total.sentences else ""
        print(
            f"{case.name:32} {total.echo_s:7.0f} {heard:>7} {whole:>10} {total.people_s:9.0f} {lost:>7} {total.found:6}"
        )


if __name__ == "__main__":
    main()
