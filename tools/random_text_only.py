"""Tiny Speech2Text and Speech2Text2 checkpoints with random weights in Hugging Face layout, for tests.

Shapes come from our own networks and names from the families' tables: transformers no longer has one of the two. The
names are held to transformers by the parity tests. What such a checkpoint says is noise.
"""

import io
import json
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from safetensors.torch import save_file
from torch import Tensor

from seamless_stream.models.speech_to_text import weights as first_names
from seamless_stream.models.speech_to_text.config import parse_config as parse_first
from seamless_stream.models.speech_to_text.encoder import SpeechEncoder as FirstEncoder
from seamless_stream.models.speech_to_text_2 import weights as second_names
from seamless_stream.models.speech_to_text_2.config import parse_config as parse_second
from seamless_stream.models.speech_to_text_2.encoder import SpeechEncoder as SecondEncoder
from seamless_stream.models.text_decoder import new_text_decoder
from seamless_stream.models.text_only import TextOnlyNetwork
from seamless_stream.nn.post_norm import PostNormDecoder
from seamless_stream.nn.transformer import Decoder
from tools.tiny_bpe import train_bpe

NAME_OF_SIZE = {
    "tiny-speech2text": "s2t-tiny-librispeech-asr",
    "tiny-speech2text-multilingual": "s2t-tiny-mustc-multilingual-st",
    "tiny-speech2text2": "s2t-wav2vec2-tiny-en-de",
}
TAGS = ("pt", "fr", "ru", "nl", "ro", "it", "es", "de")  # of MuST-C
NUM_PIECES = 300
_DECODER = {"decoder_layers": 2, "decoder_ffn_dim": 48, "decoder_attention_heads": 4, "d_model": 32}
_DECODER |= {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
_ENCODER = {
    "model_type": "wav2vec2",
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "conv_dim": [12] * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
}


def draw(name: str, shape: Iterable[int], seed: int) -> Tensor:
    """Random values that keep activations near one: by fan-in for weights, near the identity for norms."""
    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode()))
    values = torch.randn(tuple(shape), generator=generator)
    if values.dim() >= 2 and not name.endswith("original0"):
        return values / values[0].numel() ** 0.5
    if name.endswith("bias"):
        return 0.02 * values
    return 1 + 0.02 * values


def _write_json(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_weights(
    output: Path, network: TextOnlyNetwork, to_theirs: Callable[[str], str | None], seed: int
) -> None:
    tensors = {}
    for name, parameter in network.named_parameters():  # a tied head is not named
        theirs = to_theirs(name)
        assert theirs is not None, name
        tensors[theirs] = draw(theirs, parameter.shape, seed)
    save_file(tensors, output / "model.safetensors", metadata={"format": "pt"})


def _first(output: Path, name: str, sentences: list[str], seed: int) -> None:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        vocab_size=NUM_PIECES,
        model_type="bpe",
        bos_id=0,
        pad_id=1,
        eos_id=2,
        unk_id=3,
        user_defined_symbols=[f"<lang:{tag}>" for tag in TAGS] if "multilingual" in name else [],
        character_coverage=1.0,
        minloglevel=2,
    )
    (output / "sentencepiece.bpe.model").write_bytes(model.getvalue())
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    _write_json(output / "vocab.json", {pieces.id_to_piece(i): i for i in range(NUM_PIECES)})
    config = {"model_type": "speech_to_text", "_name_or_path": name, "vocab_size": NUM_PIECES, **_DECODER}
    config |= {"encoder_layers": 2, "encoder_ffn_dim": 48, "encoder_attention_heads": 4, "conv_channels": 24}
    _write_json(output / "config.json", config)
    features = {"feature_size": 80, "num_mel_bins": 80, "do_ceptral_normalize": True}
    _write_json(output / "preprocessor_config.json", features | {"sampling_rate": 16_000})
    parsed = parse_first(config)
    with torch.device("meta"):
        network = TextOnlyNetwork(FirstEncoder(parsed), new_text_decoder(parsed, Decoder))
    _write_weights(output, network, first_names.to_theirs, seed)


def _second(output: Path, name: str, sentences: list[str], seed: int) -> None:
    vocabulary, merges = train_bpe(sentences, 60)
    _write_json(output / "vocab.json", vocabulary)
    (output / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
    decoder = {"model_type": "speech_to_text_2", "vocab_size": len(vocabulary), **_DECODER}
    config = {"model_type": "speech-encoder-decoder", "_name_or_path": name}
    config |= {"encoder": _ENCODER, "decoder": decoder, "decoder_start_token_id": 2}
    _write_json(output / "config.json", config)
    _write_json(output / "preprocessor_config.json", {"do_normalize": True, "sampling_rate": 16_000})
    parsed = parse_second(config)
    with torch.device("meta"):
        network = TextOnlyNetwork(
            SecondEncoder(parsed.encoder, parsed.decoder.d_model),
            new_text_decoder(parsed.decoder, PostNormDecoder),
        )
    _write_weights(output, network, second_names.to_theirs, seed)


def make_text_only(output: Path, size: str, sentences: list[str], *, seed: int = 0) -> None:
    """Write all files of one checkpoint into `output`, which is created."""
    output.mkdir(parents=True, exist_ok=True)
    write = _second if size == "tiny-speech2text2" else _first
    write(output, NAME_OF_SIZE[size], sentences, seed)
