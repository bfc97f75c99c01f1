"""Acoustic units of the target voices: one k-means cluster per 20 ms of speech, an inventory for each language.

Knows the features (log-mel every 5 ms, pitch, voicing), how clusters are fitted and how samples become units. What
ships are only the models trained on their units; the inventories that the bundled checkpoint speaks lie beside this
file: with others, training that goes on from it would find that its units mean other sounds.
"""

import argparse
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tools.phrasebook.corpus import DEFAULT_WORK
from tools.phrasebook.files import save_arrays
from tools.phrasebook.recipe import LANGUAGES
from tools.phrasebook.shards import ClipSet

Float32 = npt.NDArray[np.float32]

SAMPLE_RATE: Final = 16_000
UNIT_SAMPLES: Final = 320
LANGUAGE_UNITS: Final = 1500  # one voice a language: shared ones blur plosives; more do not fit into 25 MB
NUM_UNITS: Final = LANGUAGE_UNITS * len(LANGUAGES)
FIT_CLIPS: Final = 800  # half an hour and more
ITERATIONS: Final = 16
LEVEL_RMS: Final = 0.103  # of a clip's loud units; sets differ in gain and in silence around, units must not

_SPECTRUM_WINDOW: Final = 256
_SPECTRUM_HOP: Final = 80  # four spectra a unit: where in it a plosive bursts is heard
_SPECTRUM_FFT: Final = 512
_PITCH_WINDOW: Final = 1024
_PITCH_FFT: Final = 2048
_NUM_MEL: Final = 40
_NUM_COMPONENTS: Final = 30
_SOFT_FLOOR: Final = 0.0035  # added to magnitudes: below it there is only the noise between words
_SHORTEST_LAG: Final = 40  # 400 Hz
_LONGEST_LAG: Final = 229  # 70 Hz
_VOICED: Final = 0.45  # of the autocorrelation at lag 0
_PITCH_WEIGHT: Final = 10.0  # one octave counts as this many nepers of spectrum; more costs consonants
_VOICING_WEIGHT: Final = 3.0
_SHARPNESS: Final = 1.5  # a neighbour at the typical distance has a fifth of a unit's own share


def levelled(samples: npt.NDArray[Any]) -> Float32:
    """int16 or float samples as whole units of float32 at the common level, as the vocoder speaks."""
    scale = 32_768.0 if samples.dtype == np.int16 else 1.0
    x = samples[: len(samples) // UNIT_SAMPLES * UNIT_SAMPLES].astype(np.float32) / np.float32(scale)
    if not len(x):
        return x
    power = np.square(x).reshape(-1, UNIT_SAMPLES).mean(1)
    rms = float(np.sqrt(power[power >= 0.05 * np.quantile(power, 0.95)].mean()))
    return (x * np.float32(LEVEL_RMS / max(rms, 1e-4))).astype(np.float32)


def _frames(x: Float32, size: int, hop: int) -> Float32:
    """Windows of `size` samples centred on each stretch of `hop` samples, [len(x) / hop, size]."""
    margin = (size - hop) // 2
    padded = np.pad(x, (margin, margin))
    windows: Float32 = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    return windows


@cache
def mel_matrix(num_bins: int, num_mel: int, low_hz: float = 60.0) -> Float32:
    """Triangles in mel space, [num_bins, num_mel]."""
    edges = np.linspace(np.log1p(low_hz / 700), np.log1p(SAMPLE_RATE / 2 / 700), num_mel + 2)
    bins = np.log1p(np.linspace(0, SAMPLE_RATE / 2, num_bins) / 700)
    slopes = (edges[None] - bins[:, None]) / np.diff(edges)[0]
    matrix = np.maximum(0.0, np.minimum(slopes[:, 2:], -slopes[:, :-2]))
    return (matrix / np.maximum(matrix.sum(0), 1e-3)).astype(np.float32)


def log_mel(x: Float32) -> Float32:
    """Log of the mel magnitudes, four spectra of 40 in a row, [U, 160], floored so that silences are alike."""
    window = np.hanning(_SPECTRUM_WINDOW).astype(np.float32)
    frames = _frames(x, _SPECTRUM_WINDOW, _SPECTRUM_HOP) * window
    mel = np.abs(np.fft.rfft(frames, _SPECTRUM_FFT)) @ mel_matrix(_SPECTRUM_FFT // 2 + 1, _NUM_MEL)
    logs: Float32 = np.log(mel + _SOFT_FLOOR).astype(np.float32)
    return logs.reshape(-1, UNIT_SAMPLES // _SPECTRUM_HOP * _NUM_MEL)


def pitch(x: Float32) -> tuple[Float32, Float32]:
    """log2 of the fundamental frequency (0 where unvoiced) and voicing 0..1 of every unit."""
    window = np.hanning(_PITCH_WINDOW).astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(_frames(x, _PITCH_WINDOW, UNIT_SAMPLES) * window, _PITCH_FFT)))
    correlation = np.fft.irfft(power)[:, : _LONGEST_LAG + 1]
    own = np.fft.irfft(np.square(np.abs(np.fft.rfft(window, _PITCH_FFT))))[: _LONGEST_LAG + 1]
    correlation = correlation / (correlation[:, :1] + 1e-3) / (own / own[0])
    part = correlation[:, _SHORTEST_LAG:] - 0.0008 * np.arange(
        _LONGEST_LAG + 1 - _SHORTEST_LAG
    )  # against octaves
    lag = part.argmax(1)
    strength = part[np.arange(len(part)), lag]
    voiced = (strength > _VOICED).astype(np.float32)
    octaves = np.log2(SAMPLE_RATE / (lag + _SHORTEST_LAG)).astype(np.float32)
    padded = np.pad(octaves, 1, mode="edge")
    octaves = np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0).astype(np.float32)
    return octaves * voiced, voiced


@dataclass(frozen=True)
class UnitModel:
    """Centroids [K, 32] of a language in the space of projected log-mel, weighted pitch and voicing."""

    mean: Float32
    projection: Float32
    octave: float  # of the pitch of voiced speech, its middle
    centroids: Float32
    first: int = 0  # the id of the first centroid: inventories of several languages lie one after the other

    def features(self, x: Float32) -> Float32:
        """Levelled samples -> [U, 32]."""
        return self.combined(log_mel(x), *pitch(x))

    def combined(self, mels: Float32, octaves: Float32, voiced: Float32) -> Float32:
        """The parts in one space."""
        tone = (octaves - self.octave) * voiced * _PITCH_WEIGHT
        spectrum = (mels - self.mean) @ self.projection
        return np.concatenate([spectrum, tone[:, None], voiced[:, None] * _VOICING_WEIGHT], axis=1)

    def sounds(self) -> Float32:
        """[K, 162] what each centroid stands for, alike in all languages: log-mel as `log_mel` gives it, octaves above
        the voice's middle, voicing."""
        axes = self.projection / np.square(self.projection).sum(0)  # its columns are orthogonal
        mels = self.centroids[:, :_NUM_COMPONENTS] @ axes.T + self.mean
        weights = np.float32([_PITCH_WEIGHT, _VOICING_WEIGHT])
        return np.concatenate([mels, self.centroids[:, _NUM_COMPONENTS:] / weights], axis=1)

    def units_of(self, samples: npt.NDArray[Any]) -> list[int]:
        """Samples at 16 kHz, int16 or float -> one unit per whole 20 ms."""
        if len(samples) < UNIT_SAMPLES:
            return []
        features = torch.from_numpy(self.features(levelled(samples)))
        return (nearest(features, torch.from_numpy(self.centroids)) + self.first).tolist()

    def save(self, path: Path, dtype: npt.DTypeLike = np.float32) -> None:
        """`load_units` computes in float32 whatever it is stored as."""
        save_arrays(
            path,
            mean=self.mean.astype(dtype),
            projection=self.projection.astype(dtype),
            octave=self.octave,
            centroids=self.centroids.astype(dtype),
            first=self.first,
        )


def units_path(work: Path, language: str) -> Path:
    """Where the fitted inventory of a language lies."""
    return work / "units" / f"{language}.npz"


def load_units(path: Path) -> UnitModel:
    """A fitted inventory."""
    with np.load(path) as data:
        mean, projection, centroids = (
            data[name].astype(np.float32) for name in ("mean", "projection", "centroids")
        )
        return UnitModel(mean, projection, float(data["octave"]), centroids, int(data["first"]))


def nearest(features: Tensor, centroids: Tensor) -> Tensor:
    """Index of the nearest centroid of each row."""
    half = centroids.square().sum(1) / 2
    return torch.cat([(half - rows @ centroids.T).argmin(1) for rows in features.split(16_384)])


def neighbours(centroids: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` nearest of each centroid, itself first, [K, count], and shares that fall with distance."""
    distances, ids = torch.cdist(centroids, centroids).topk(count, largest=False)
    typical = distances[:, 1].square().median()
    return ids, torch.softmax(-_SHARPNESS * distances.square() / typical, dim=1)


def k_means(features: Tensor, count: int, iterations: int, seed: int) -> Tensor:
    """Lloyd's algorithm; clusters that fall empty start again at a random row."""
    generator = torch.Generator().manual_seed(seed)
    centroids = features[torch.randperm(len(features), generator=generator)[:count]].clone()
    for _ in range(iterations):
        labels = nearest(features, centroids)
        sums = torch.zeros_like(centroids).index_add_(0, labels, features)
        sizes = torch.bincount(labels, minlength=count)
        empty = sizes == 0
        centroids = sums / sizes.clamp(min=1)[:, None]
        picks = torch.randint(len(features), (int(empty.sum()),), generator=generator)
        centroids[empty] = features[picks]
    return centroids


def fit(clips: list[Float32], count: int, first: int = 0, seed: int = 1) -> UnitModel:
    """From levelled clips of one voice."""
    mels = np.concatenate([log_mel(x) for x in clips])
    octaves, voiced = (np.concatenate(parts) for parts in zip(*(pitch(x) for x in clips), strict=True))
    mean = mels.mean(0)
    _, axes = np.linalg.eigh(np.cov((mels - mean).T))
    projection = axes[:, ::-1][:, :_NUM_COMPONENTS] / np.sqrt(2 * UNIT_SAMPLES / _SPECTRUM_HOP)
    empty = np.zeros((0, 0), np.float32)
    middle = float(np.median(octaves[voiced > 0]))
    model = UnitModel(mean, projection.astype(np.float32), middle, empty)
    features = torch.from_numpy(model.combined(mels, octaves, voiced))
    centroids = k_means(features, count, ITERATIONS, seed)
    return UnitModel(model.mean, model.projection, model.octave, centroids.numpy(), first)


def fit_language(work: Path, name: str, language: str) -> UnitModel:
    """From the first clips of a set."""
    started = time.monotonic()
    speech = ClipSet(work / "speech" / name / language)
    clips = [levelled(speech.samples(i)) for i in range(min(FIT_CLIPS, len(speech)))]
    model = fit(clips, LANGUAGE_UNITS, first=LANGUAGES.index(language) * LANGUAGE_UNITS)
    used = len({unit for x in clips[::10] for unit in model.units_of(x)})
    seconds = time.monotonic() - started
    print(f"{language}: {len(clips)} clips, {LANGUAGE_UNITS} units ({used} used in a tenth), {seconds:.0f} s")
    return model


def bundled_path(language: str) -> Path:
    """Where the inventory that the bundled checkpoint speaks lies."""
    return Path(__file__).parent / "inventories" / f"{language}.npz"


def keep(work: Path) -> None:
    """The inventories of a work folder become those of the bundled checkpoint."""
    for language in LANGUAGES:
        load_units(units_path(work, language)).save(bundled_path(language), np.float16)  # half the size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument("--set", default="target")
    parser.add_argument("--languages", nargs="+", choices=LANGUAGES, default=LANGUAGES)
    parser.add_argument(
        "--again",
        action="store_true",
        help="also where there is an inventory already; vocoder and T2U must then begin anew",
    )
    parser.add_argument(
        "--bundled",
        action="store_true",
        help="take those that the bundled checkpoint speaks, to go on from it",
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    for language in args.languages:
        path = units_path(args.work, language)
        if path.exists() and not args.again:
            print(f"{language}: there is an inventory already; --again replaces it")
        elif args.bundled:
            load_units(bundled_path(language)).save(path)
            print(f"{language}: that of the bundled checkpoint")
        else:
            fit_language(args.work, args.set, language).save(path)


if __name__ == "__main__":
    main()
