"""The translator: paths, arrays and text; what is inferred; long recordings with flat memory."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from seamless_stream.audio.files import read, write_wav
from seamless_stream.engine.translator import Translator, choose_device, choose_dtype
from seamless_stream.errors import AudioError, LanguageError, ModelError, SettingsError
from seamless_stream.events import Final
from seamless_stream.settings import DecodingSettings
from tests.engine.test_engine import PAUSE, TALK
from tests.fakes import FakeTranslator, speech


@pytest.fixture
def translator() -> Translator:
    return Translator(FakeTranslator(), "fake")


def test_path_and_array_agree_and_a_short_recording_is_one_segment(
    translator: Translator, tmp_path: Path
) -> None:
    path = tmp_path / "talk.wav"
    write_wav(path, TALK)
    by_path = translator.translate(path, target_language="spanish")
    by_array = translator.translate(read(path), target_language="es-MX")
    assert by_path.text == by_array.text != ""
    assert len(by_path.segments) == 1
    assert by_path.task == "s2st" and by_path.target_language == "spa"
    assert by_path.audio_s == pytest.approx(len(TALK) / 16_000)
    assert by_path.rate == 16_000 and len(by_path.speech) == 320 * len(by_path.unit_ids) > 0
    assert by_path.timings["compute_s"] <= by_path.timings["total_s"]


def test_stereo_of_another_rate_is_heard(translator: Translator) -> None:
    stereo = np.repeat(np.stack([TALK, TALK], axis=1), 2, axis=0)  # 32 kHz
    assert translator.translate(stereo, rate=32_000, target_language="es").segments


@pytest.mark.parametrize(
    ("wish", "task"),
    [
        ({"target_language": "es"}, "s2st"),
        ({"target_language": "fr"}, "s2tt"),  # no voice
        ({"target_language": "es", "source_language": "es-MX"}, "asr"),
        ({"source_language": "en", "task": "asr"}, "asr"),
        ({"target_language": "es", "source_language": "en"}, "s2st"),
        ({"target_language": "es", "task": "s2tt"}, "s2tt"),
    ],
)
def test_task_is_inferred_from_what_is_asked(translator: Translator, wish: dict[str, str], task: str) -> None:
    translation = translator.translate(speech(0.3, 0.4), **wish)  # type: ignore[arg-type]
    assert translation.task == task
    assert bool(len(translation.speech)) == (task == "s2st")


def test_text_has_a_segment_per_line(translator: Translator) -> None:
    translation = translator.translate(text="a bb\n\nccc\n", target_language="es", source_language="en")
    assert translation.task == "t2st"
    assert len(translation.segments) == 2 and translation.text.count("\n") == 1
    assert translator.translate(text="a", target_language="fr", source_language="en").task == "t2tt"


def test_long_recording_is_cut_where_the_speaker_pauses(translator: Translator) -> None:
    long = np.concatenate([speech(0.3, 0.4, 0.5, *PAUSE * 2)] * 6)
    translation = translator.translate(long, target_language="es")
    assert len(long) > 14 * 16_000
    assert len(translation.segments) == 6
    starts = [segment.start_s for segment in translation.segments]
    assert starts == sorted(starts) and starts[-1] > 14


def test_hours_of_silence_need_no_memory(translator: Translator) -> None:
    settings = translator.settings(is_text=False, target_language="es")
    silence = np.zeros(16_000, np.float32)

    def chunks() -> Iterator[np.ndarray]:
        for _ in range(200):
            yield silence

    tracemalloc.start()
    assert not list(translator.audio_events(chunks(), settings))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20


def test_speech_of_an_hour_waits_in_bounded_memory(translator: Translator) -> None:
    """The recording is not read ahead of the model: at most about half a minute of speech waits."""
    settings = translator.settings(is_text=False, target_language="es", wants_speech=False)
    phrase = speech(0.3, 0.4, *PAUSE)
    num_read = 0

    def chunks() -> Iterator[np.ndarray]:
        nonlocal num_read
        for _ in range(200):
            num_read += 1
            yield phrase

    first = next(e for e in translator.audio_events(chunks(), settings) if isinstance(e, Final))
    assert first.segment == 0 and num_read < 120


def test_recording_without_speech_gives_an_empty_translation(translator: Translator) -> None:
    translation = translator.translate(speech(*PAUSE), target_language="es")
    assert translation.text == "" and not translation.segments and not len(translation.speech)


def test_failure_of_everything_is_raised() -> None:
    translator = Translator(FakeTranslator(poison=0.5))
    with pytest.raises(ModelError, match="poisoned"):
        translator.translate(np.full(3200, 0.5, np.float32), target_language="es")
    assert translator.translate(speech(0.3), target_language="es").segments  # and it goes on


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({}, "Exactly one of `audio` and `text`"),
        ({"audio": TALK, "text": "a"}, "Exactly one of `audio` and `text`"),
        ({"audio": TALK}, "`target_language` must be given"),
        ({"text": "a", "target_language": "es"}, "`source_language` must be given for text"),
        ({"text": "a", "target_language": "es", "task": "s2tt"}, "`task` must be one for text"),
        ({"audio": TALK, "target_language": "es", "task": "t2tt"}, "`task` must be one for speech"),
        ({"audio": TALK[None, None], "target_language": "es"}, "has 3 dimensions"),
        ({"audio": TALK, "target_language": "es", "speaker": 9}, "`speaker` must be 0 to 1"),
    ],
)
def test_impossible_wishes_are_refused(
    translator: Translator, wish: dict[str, object], sentence: str
) -> None:
    with pytest.raises(SettingsError, match=sentence):
        translator.translate(**wish)  # type: ignore[arg-type]


def test_unknown_language_and_missing_file_have_their_own_errors(translator: Translator) -> None:
    with pytest.raises(LanguageError, match="spanich"):
        translator.translate(TALK, target_language="spanich")
    with pytest.raises(AudioError, match="does not exist"):
        translator.translate("nowhere.wav", target_language="es")


def test_decoding_settings_reach_the_decoder(translator: Translator) -> None:
    decoding = DecodingSettings(max_new_tokens=1)
    assert len(translator.translate(speech(0.3, 0.4), target_language="es", decoding=decoding).token_ids) == 1
    assert translator.translate(speech(0.3, 0.4), target_language="es", beams=3).token_ids


def test_device_and_type_are_checked() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_dtype(None, torch.device("cpu")) == torch.float32
    assert choose_dtype("bfloat16", torch.device("cpu")) == torch.bfloat16
    with pytest.raises(SettingsError, match="`device` must be one of cpu"):
        choose_device("quantum")
    with pytest.raises(SettingsError, match="`dtype` must be one of"):
        choose_dtype("float8", torch.device("cpu"))
