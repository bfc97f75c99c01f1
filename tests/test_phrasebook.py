"""The checkpoint that ships: whole, small, equal in transformers, and able to do its job on the shipped recordings."""

from pathlib import Path

import numpy as np
import pytest
import torch

from seamless_stream.audio.files import read
from seamless_stream.engine.decoding import decode
from seamless_stream.engine.translator import Translator
from seamless_stream.models import checkpoint
from seamless_stream.models.seamless_m4t.model import SeamlessM4T
from seamless_stream.settings import DecodingSettings

CHECKPOINTS = Path(checkpoint.__file__).parents[1] / "checkpoints"
PHRASEBOOK = CHECKPOINTS / "phrasebook"
SAMPLES = CHECKPOINTS / "samples"
SETTINGS = DecodingSettings(max_new_tokens=48)
TEXTS = ["Where is the train station?", "I would like two coffees, please.", "It is a quarter past nine."]


def test_it_is_whole_and_small() -> None:
    assert checkpoint.verify(checkpoint.resolve("phrasebook")) == []
    assert sum(path.stat().st_size for path in PHRASEBOOK.iterdir()) <= 25e6


def test_transformers_loads_it_and_says_the_same(phrasebook: SeamlessM4T) -> None:
    """Text, units and waveform, from speech and from text."""
    transformers = pytest.importorskip("transformers")
    oracle = transformers.SeamlessM4Tv2Model.from_pretrained(PHRASEBOOK, attn_implementation="sdpa").eval()
    assert oracle.dtype == torch.float32
    samples = read(SAMPLES / "english.flac")[16_000 : 16_000 * 5]
    extractor = transformers.SeamlessM4TFeatureExtractor.from_pretrained(PHRASEBOOK)
    audio = extractor([samples], sampling_rate=16_000, return_tensors="pt")
    inputs = [(dict(audio), phrasebook.encode_speech([phrasebook.features(samples)]))]
    for text in TEXTS:
        ids = phrasebook.tokenizer.encode_source(text, "eng")
        inputs.append(({"input_ids": torch.tensor([ids])}, phrasebook.encode_text([ids])))
    for theirs, ours in inputs:
        wanted = oracle.generate(
            **theirs, tgt_lang="spa", return_intermediate_token_ids=True, text_max_new_tokens=48
        )
        decoded = decode(phrasebook.decoder, ours, phrasebook.prompt("spa"), SETTINGS)[0]
        eos = [phrasebook.config.eos_token_id]
        assert [*decoded.token_ids, *eos] == wanted.sequences[0].tolist()
        units = phrasebook.units([decoded.token_ids], [decoded.hidden], "spa")[0]
        assert units.ids == wanted.unit_sequences[0].tolist()
        samples = phrasebook.vocode([np.repeat(units.ids, units.repeats).tolist()], "spa", 0)[0]
        np.testing.assert_allclose(samples, wanted.waveform[0].detach().numpy(), atol=1e-4)


def test_chunks_of_the_encoder_are_exact(phrasebook: SeamlessM4T) -> None:
    """Its attention chunks bind, so feeding it piece by piece changes nothing."""
    encoder = phrasebook.network.speech_encoder
    features = phrasebook.features(read(SAMPLES / "spanish.flac")[: 16_000 * 6])
    values = torch.from_numpy(features.values)[None, : features.num_valid]
    with torch.inference_mode():
        whole, _ = encoder.stream(values, torch.tensor([values.shape[1]]), encoder.init_state(1))
        state, parts = encoder.init_state(1), []
        for start in range(0, values.shape[1], phrasebook.config.speech_encoder_chunk_size):
            piece = values[:, start : start + phrasebook.config.speech_encoder_chunk_size]
            part, state = encoder.stream(piece, torch.tensor([piece.shape[1]]), state)
            parts.append(part)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "source, text, target, translation",
    [
        ("english", "Good morning.", "spanish", "Buenos días."),
        ("english", "It is a quarter past nine.", "spanish", "Son las nueve y cuarto."),
        ("spanish", "Buenos días.", "french", "Bonjour."),
        ("french", "Où est la gare?", "german", "Wo ist der Bahnhof?"),
        ("german", "Guten Morgen.", "english", "Good morning."),
    ],
)
def test_translates_the_phrasebook(
    phrasebook: SeamlessM4T, source: str, text: str, target: str, translation: str
) -> None:
    result = Translator(phrasebook).translate(text=text, source_language=source, target_language=target)
    assert result.text == translation
