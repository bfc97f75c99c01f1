"""What happens to speech before a microphone hears it: a room, noise, a telephone line, a level.

Pure functions of samples and a random generator, float32 at 16 kHz in and out, the length unchanged. Nothing
here knows voices or files. Filters act on the whole clip in the frequency domain, where they have no delay.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

SAMPLE_RATE: Final = 16_000
PEAK_LIMIT: Final = 0.97
_MU: Final = 255.0  # of the telephone's mu-law
_FRAME_SAMPLES: Final = 160


def speech_rms(samples: Float32) -> float:
    """Root mean square of the 10 ms frames that lie within 30 dB of the loudest one."""
    num_frames = len(samples) // _FRAME_SAMPLES
    if num_frames == 0:
        return 0.0
    frames = samples[: num_frames * _FRAME_SAMPLES].reshape(num_frames, _FRAME_SAMPLES)
    power = np.mean(np.square(frames, dtype=np.float64), axis=1)
    return float(np.sqrt(np.mean(power[power >= power.max() * 1e-3])))


def set_level(samples: Float32, level_db: float) -> Float32:
    """Brings the speech to `level_db` (RMS, dB below full scale), or lower if a peak would clip."""
    rms, peak = speech_rms(samples), float(np.max(np.abs(samples), initial=0.0))
    if rms == 0.0:
        return samples
    gain = min(10 ** (level_db / 20) / rms, PEAK_LIMIT / peak)
    return (samples * gain).astype(np.float32)


def _shape_spectrum(samples: Float32, gain: npt.NDArray[np.float64], size: int) -> Float32:
    return np.fft.irfft(np.fft.rfft(samples, size) * gain, size)[: len(samples)].astype(np.float32)


def _fast_size(length: int) -> int:
    return 1 << (length - 1).bit_length()


def _frequencies(size: int) -> npt.NDArray[np.float64]:
    return np.asarray(np.fft.rfftfreq(size, 1 / SAMPLE_RATE), np.float64)


def room_response(rng: np.random.Generator) -> Float32:
    """The response of an invented room: the direct path, a few echoes, and a noise tail (60 dB in RT60).

    The direct path is the first sample, so speech keeps its place in time.
    """
    reverberation_s = rng.uniform(0.12, 0.65)
    length = int(reverberation_s * SAMPLE_RATE)
    time_s = np.arange(length) / SAMPLE_RATE
    tail = rng.standard_normal(length) * 10 ** (-3 * time_s / reverberation_s)
    first_echo = int(rng.uniform(0.002, 0.012) * SAMPLE_RATE)
    tail[:first_echo] = 0.0
    for delay in rng.integers(first_echo, first_echo + int(0.03 * SAMPLE_RATE), size=6):
        tail[min(delay, length - 1)] += rng.uniform(1.0, 3.0) * rng.choice((-1.0, 1.0))
    direct_to_tail_db = rng.uniform(-1.0, 14.0)
    tail *= 10 ** (-direct_to_tail_db / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    return tail.astype(np.float32)


def reverberate(samples: Float32, rng: np.random.Generator) -> Float32:
    response = room_response(rng)
    size = _fast_size(len(samples) + len(response))
    spectrum = np.fft.rfft(samples, size) * np.fft.rfft(response, size)
    return np.fft.irfft(spectrum, size)[: len(samples)].astype(np.float32)


def coloured_noise(length: int, slope_db: float, rng: np.random.Generator) -> Float32:
    """Noise whose spectrum falls by `slope_db` per octave above 100 Hz: 0 white, 3 pink, 6 traffic."""
    size = _fast_size(length)
    octaves = np.log2(np.maximum(_frequencies(size), 100.0) / 100.0)
    return _shape_spectrum(
        rng.standard_normal(length).astype(np.float32), 10 ** (-slope_db * octaves / 20), size
    )


def _swell(length: int, rng: np.random.Generator) -> Float32:
    """A slow random loudness between about 1/3 and 3, four points a second."""
    points = rng.uniform(-10, 10, size=length // 4_000 + 2)
    curve = np.interp(np.arange(length) / 4_000, np.arange(len(points)), points)
    return (10 ** (curve / 20)).astype(np.float32)


def _hum(length: int, rng: np.random.Generator) -> Float32:
    base_hz = rng.choice((50.0, 60.0, 100.0, 120.0))
    time_s = np.arange(length) / SAMPLE_RATE
    tones = [np.sin(2 * np.pi * (base_hz * k * time_s + rng.random())) * rng.random() for k in (1, 2, 3, 5)]
    return np.asarray(np.sum(tones, axis=0), np.float32)


def _clicks(length: int, rng: np.random.Generator) -> Float32:
    """Short decaying bursts, two to eight a second, as from a keyboard or dishes."""
    clicks = np.zeros(length, np.float32)
    for start in rng.integers(0, length, size=int(length / SAMPLE_RATE * rng.uniform(2, 8)) + 1):
        burst = rng.standard_normal(400) * np.exp(-np.arange(400) / rng.uniform(20, 120))
        stop = min(start + 400, length)
        clicks[start:stop] += (rng.uniform(0.3, 1.0) * burst[: stop - start]).astype(np.float32)
    return clicks


def noise(length: int, rng: np.random.Generator) -> Float32:
    """One kind of it: steady, swelling, with hum, or with clicks."""
    sound = coloured_noise(length, rng.uniform(0.0, 7.0), rng)
    kind = rng.choice(4, p=(0.4, 0.3, 0.15, 0.15))
    if kind == 1:
        sound = sound * _swell(length, rng)
    elif kind == 2:
        sound = sound / sound.std() + 0.7 * _hum(length, rng)
    elif kind == 3:
        clicks = _clicks(length, rng)
        sound = sound / sound.std() * 0.3 + clicks / clicks.std()
    return sound.astype(np.float32)


def music(length: int, rng: np.random.Generator) -> Float32:
    """Single notes or chords of some instrument, plucked or held, one after the other."""
    notes, num_together = np.zeros(length, np.float32), int(rng.integers(1, 4))
    fades, decay = rng.uniform(0.5, 2.0), rng.uniform(0.5, 6.0)  # harmonics; seconds
    start = 0
    while start < length:
        time_s = np.arange(min(int(rng.uniform(0.1, 0.9) * SAMPLE_RATE), length - start)) / SAMPLE_RATE
        for semitone in rng.integers(-12, 25, size=num_together):
            base_hz = 220.0 * 2 ** (semitone / 12)
            tones = [np.sin(2 * np.pi * base_hz * k * time_s) / k**fades for k in range(1, 7)]
            notes[start : start + len(time_s)] += np.sum(tones, axis=0) * np.exp(-decay * time_s)
        start += len(time_s)
    return notes


def no_speech(length: int, rng: np.random.Generator) -> Float32:
    """What a detector may take for speech: noise or music, or one over the other."""
    sound = noise(length, rng) if rng.random() < 0.5 else music(length, rng)
    return set_level(add_noise(sound, rng.uniform(0.0, 40.0), rng), -20.0)


def add_noise(samples: Float32, snr_db: float, rng: np.random.Generator) -> Float32:
    """Adds one kind of noise, `snr_db` below the speech."""
    added = noise(len(samples), rng)
    gain = speech_rms(samples) * 10 ** (-snr_db / 20) / float(np.sqrt(np.mean(np.square(added))))
    return (samples + gain * added).astype(np.float32)


def telephone(samples: Float32, rng: np.random.Generator) -> Float32:
    """The band of a telephone (about 300-3400 Hz) and 8-bit mu-law."""
    size = _fast_size(len(samples))
    hertz = np.maximum(_frequencies(size), 1.0)
    low, high = rng.uniform(200, 350), rng.uniform(3_100, 3_700)
    gain = 1 / np.sqrt((1 + (low / hertz) ** 8) * (1 + (hertz / high) ** 20))
    narrow = set_level(_shape_spectrum(samples, gain, size), -20.0)
    compressed = np.sign(narrow) * np.log1p(_MU * np.abs(narrow)) / np.log1p(_MU)
    steps = np.round(compressed * 127) / 127
    return np.asarray(np.sign(steps) * np.expm1(np.abs(steps) * np.log1p(_MU)) / _MU, np.float32)


def equalize(samples: Float32, rng: np.random.Generator) -> Float32:
    """A microphone's colour: a random smooth curve of up to 6 dB up or down, six points over the octaves."""
    size = _fast_size(len(samples))
    octaves = np.log2(np.maximum(_frequencies(size), 125.0) / 125.0)  # 0 to 6
    curve_db = np.interp(octaves, np.arange(7), rng.uniform(-6, 6, size=7))
    return _shape_spectrum(samples, 10 ** (curve_db / 20), size)


def augment(samples: Float32, rng: np.random.Generator) -> Float32:
    """One random way from the mouth to the file; the level is left to the caller."""
    if rng.random() < 0.5:
        samples = equalize(samples, rng)
    if rng.random() < 0.55:
        samples = reverberate(samples, rng)
    if rng.random() < 0.75:
        samples = add_noise(samples, rng.uniform(4.0, 30.0), rng)
    if rng.random() < 0.2:
        samples = telephone(samples, rng)
    if rng.random() < 0.1:  # a microphone that is turned up too far
        samples = np.tanh(samples / (speech_rms(samples) * rng.uniform(2.0, 5.0) + 1e-9)).astype(np.float32)
    return samples
