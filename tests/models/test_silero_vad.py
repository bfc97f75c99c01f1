"""Our Silero network against the package's own model, and the detector around it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seamless_stream.audio.vad import VAD_WINDOW_SAMPLES as WINDOW
from seamless_stream.models import vad
from seamless_stream.models.vad import SileroVad, load_silero


def speech() -> np.ndarray:
    """Two sentences in faint noise, from a synthesizer."""
    engine = pytest.importorskip("py_nanotts", reason="needs a synthesizer: pip install py-nanotts").NanoTTS()
    parts = [np.zeros(24_000)]
    for text in ("Where is the train station, please?", "I would like two coffees."):
        parts += [np.frombuffer(engine.speak(text, voice="en-GB"), np.int16) / 32_768, np.zeros(40_000)]
    clean = np.concatenate(parts)
    return (clean + 0.0005 * np.random.default_rng(0).standard_normal(len(clean))).astype(np.float32)


def noise(num_samples: int) -> np.ndarray:
    return (0.05 * np.random.default_rng(1).standard_normal(num_samples)).astype(np.float32)


def test_equals_the_package() -> None:
    original = pytest.importorskip("silero_vad").load_silero_vad()
    samples = np.concatenate((speech(), noise(16_000), speech()[::2]))
    samples = samples[: len(samples) // WINDOW * WINDOW]
    theirs = [original(torch.tensor(window), 16_000).item() for window in samples.reshape(-1, WINDOW)]
    ours = SileroVad(gate=False).push(samples)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert max(ours) > 0.95 and min(ours) < 0.05


def test_the_gate_changes_little_and_saves_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    run = SileroVad._run
    monkeypatch.setattr(SileroVad, "_run", lambda self, *args: (calls.append(1), run(self, *args))[1])
    samples = np.concatenate((np.zeros(160_000, np.float32), speech(), np.zeros(160_000, np.float32)))
    gated = np.array(SileroVad().push(samples))
    num_gated = len(calls)
    always = np.array(SileroVad(gate=False).push(samples))
    assert np.mean((gated >= 0.5) != (always >= 0.5)) < 0.01
    assert num_gated < 0.5 * (len(calls) - num_gated)
    calls.clear()
    assert set(SileroVad().push(np.zeros(160_000, np.float32))) == {0.0}
    assert not calls


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 5_000), max_size=20))
def test_any_cuts_give_the_same_bits(cuts: list[int]) -> None:
    samples = np.concatenate(
        (np.zeros(3_000, np.float32), noise(8_000), np.zeros(30_000, np.float32), noise(9_000))
    )
    detector, found, at = SileroVad(), [], 0
    for cut in cuts:
        found += detector.push(samples[at : at + cut])
        at += cut
    found += detector.push(samples[at:])
    assert found == SileroVad().push(samples)


def test_detectors_share_no_state() -> None:
    samples = noise(16_000)
    alone = SileroVad().push(samples)
    one, other = SileroVad(), SileroVad()
    mixed = []
    for at in range(0, len(samples), 1_000):
        mixed += one.push(samples[at : at + 1_000])
        other.push(noise(3_000))
    assert mixed == alone
    one.reset()
    assert one.push(samples) == alone


def test_a_batch_equals_its_rows() -> None:
    network = load_silero()
    rows = noise(3 * WINDOW).reshape(3, WINDOW)
    alone = [network(row, network.init_state())[0] for row in rows]
    together, _ = network(rows, network.init_state(3))
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_damaged_weights_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    damaged = tmp_path / "silero.safetensors"
    damaged.write_bytes(vad._WEIGHTS.read_bytes()[:1000])
    monkeypatch.setattr(vad, "_WEIGHTS", damaged)
    with pytest.raises(vad.CheckpointError, match="silero.safetensors"):
        vad.load_silero.__wrapped__()
