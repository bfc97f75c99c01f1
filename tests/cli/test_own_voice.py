"""`live` between a loudspeaker and a microphone: what it says itself is left out, whatever the rate, and told once."""

from pathlib import Path

import numpy as np

from seamless_stream.audio import echo
from seamless_stream.audio.files import read
from seamless_stream.cli.own_voice import OwnVoice
from seamless_stream.events import Speech

RATE = 16_000
RECORDING = read(Path(echo.__file__).parents[1] / "checkpoints" / "samples" / "english.flac")[RATE : 6 * RATE]


def test_the_loudspeaker_is_left_out_of_the_microphone() -> None:
    voice, out = OwnVoice(), []
    room = np.random.default_rng(1).normal(0, 3e-4, 12 * RATE).astype(np.float32)
    for at in range(0, len(room), 1_600):
        if at in (RATE, 6 * RATE + 1_600):  # two sentences, each in two pieces
            half = RECORDING[: 2 * RATE] if at == RATE else RECORDING[2 * RATE :]
            for piece in (half[:RATE], half[RATE:]):
                voice.write(Speech(0, "spa", piece, RATE), 0.0)
            room[at + 2_000 : at + 2_000 + len(half)] += 0.2 * half
        out.append(voice.filter(room[at : at + 1_600]))
    heard = np.concatenate([*out, voice.rest()])
    assert len(heard) == len(room)
    assert np.max(np.abs(heard[6 * RATE :])) < 0.01  # the second one altogether
    assert (
        0 < np.count_nonzero(np.abs(heard[: 6 * RATE]) > 0.01) < 0.6 * RATE
    )  # of the first one the beginning
    [warning] = voice.warnings
    assert "hears the loudspeaker, 1" in warning
    assert voice.report.startswith("own voice: ")


def test_nothing_is_told_of_a_quiet_room() -> None:
    voice = OwnVoice()
    assert np.array_equal(voice.filter(RECORDING), RECORDING)
    assert not voice.warnings and not voice.report
