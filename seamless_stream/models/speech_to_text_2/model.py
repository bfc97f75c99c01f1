"""Speech2Text2 as the engine sees it: how a checkpoint is loaded, and what it can do."""

import math
from collections.abc import Iterable

import torch

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.models.base import Capabilities, Prompt, Task
from seamless_stream.models.checkpoint import CheckpointFiles
from seamless_stream.models.speech_to_text_2.config import (
    SpeechToText2Config,
    parse_config,
    parse_preprocessor,
)
from seamless_stream.models.speech_to_text_2.encoder import SpeechEncoder
from seamless_stream.models.speech_to_text_2.features import normalise, unchanged
from seamless_stream.models.speech_to_text_2.tokenizer import SpeechToText2Tokenizer
from seamless_stream.models.speech_to_text_2.weights import to_ours
from seamless_stream.models.tensors import load_parameters, read_json
from seamless_stream.models.text_decoder import new_text_decoder
from seamless_stream.models.text_only import (
    TextOnlyModel,
    TextOnlyNetwork,
    languages_of,
    text_capabilities,
)
from seamless_stream.nn.post_norm import PostNormDecoder
from seamless_stream.nn.waveform import least_samples

FAMILY = "speech_to_text_2"


def _tokenizer(files: CheckpointFiles) -> SpeechToText2Tokenizer:
    settings, merges = files.directory / "tokenizer_config.json", files.directory / "merges.txt"
    is_lower_case = settings.exists() and read_json(settings).get("do_lower_case") is True
    return SpeechToText2Tokenizer(
        files.directory / "vocab.json", merges if merges.exists() else None, is_lower_case=is_lower_case
    )


def _prompt(config: SpeechToText2Config) -> Prompt:
    return Prompt((config.decoder_start_token_id,), config.eos_token_id, config.decoder.pad_token_id)


def capabilities(files: CheckpointFiles) -> Capabilities:
    """What a checkpoint can do, without its weights; raises CheckpointError."""
    source, target = languages_of(files)
    stride_samples = math.prod(parse_config(files.config).encoder.conv_stride)
    return text_capabilities(FAMILY, source, (target,), 1000 * stride_samples // SAMPLE_RATE)


def load(
    files: CheckpointFiles, *, device: torch.device, dtype: torch.dtype, tasks: Iterable[Task] | None = None
) -> TextOnlyModel:
    """Load the one network that every task needs; raises CheckpointError with everything that does not fit."""
    config = parse_config(files.config)
    is_normalised = parse_preprocessor(files.preprocessor_config)
    facts = capabilities(files)
    with torch.device("meta"):
        network = TextOnlyNetwork(
            SpeechEncoder(config.encoder, config.decoder.d_model),
            new_text_decoder(config.decoder, PostNormDecoder, files.alignment_heads),
        )
    load_parameters(network, files.tensors, to_ours, dtype=dtype, device=device)
    return TextOnlyModel(
        facts,
        network,
        _tokenizer(files),
        normalise if is_normalised else unchanged,
        least_samples(config.encoder.conv_kernel, config.encoder.conv_stride),
        {language: _prompt(config) for language in facts.target_languages},
    )
