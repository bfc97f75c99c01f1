"""Speech2Text as the engine sees it: how a checkpoint is loaded, and what it can do."""

from collections.abc import Iterable

import torch

from seamless_stream.audio.fbank import HOP_SAMPLES, SAMPLE_RATE
from seamless_stream.models.base import Capabilities, Prompt, Task
from seamless_stream.models.checkpoint import CheckpointFiles
from seamless_stream.models.speech_to_text.config import (
    SpeechToTextConfig,
    check_preprocessor,
    parse_config,
)
from seamless_stream.models.speech_to_text.encoder import SpeechEncoder
from seamless_stream.models.speech_to_text.features import LEAST_SAMPLES, extract
from seamless_stream.models.speech_to_text.tokenizer import SpeechToTextTokenizer
from seamless_stream.models.speech_to_text.weights import to_ours
from seamless_stream.models.tensors import load_parameters, read_json
from seamless_stream.models.text_decoder import new_text_decoder
from seamless_stream.models.text_only import (
    TextOnlyModel,
    TextOnlyNetwork,
    code_of,
    languages_of,
    text_capabilities,
)
from seamless_stream.nn.transformer import Decoder

FAMILY = "speech_to_text"
FRAME_MS = 1000 * HOP_SAMPLES // SAMPLE_RATE
MULTILINGUAL_SOURCE = "eng"  # of the released checkpoints with language tokens (MuST-C)


def _tokenizer(files: CheckpointFiles) -> SpeechToTextTokenizer:
    settings = files.directory / "tokenizer_config.json"
    is_upper_case = settings.exists() and read_json(settings).get("do_upper_case") is True
    return SpeechToTextTokenizer(
        files.directory / "vocab.json", files.tokenizer_model, is_upper_case=is_upper_case
    )


def _languages(files: CheckpointFiles, tokenizer: SpeechToTextTokenizer) -> tuple[str, dict[str, int | None]]:
    """The source, and of each target its language token, where the checkpoint needs one."""
    if tokenizer.language_ids:
        return MULTILINGUAL_SOURCE, {code_of(tag): number for tag, number in tokenizer.language_ids.items()}
    source, target = languages_of(files)
    return source, {target: None}


def _prompt(config: SpeechToTextConfig, language_id: int | None) -> Prompt:
    """The reference forces the language to be the first token that is found."""
    forced = () if language_id is None else (language_id,)
    start = (config.decoder_start_token_id, *forced)
    return Prompt(start, config.eos_token_id, config.pad_token_id, num_forced=len(forced))


def _capabilities(
    files: CheckpointFiles, config: SpeechToTextConfig, tokenizer: SpeechToTextTokenizer
) -> Capabilities:
    source, targets = _languages(files, tokenizer)
    return text_capabilities(FAMILY, source, tuple(targets), FRAME_MS * 2**config.num_conv_layers)


def capabilities(files: CheckpointFiles) -> Capabilities:
    """What a checkpoint can do, without its weights; raises CheckpointError."""
    return _capabilities(files, parse_config(files.config), _tokenizer(files))


def load(
    files: CheckpointFiles, *, device: torch.device, dtype: torch.dtype, tasks: Iterable[Task] | None = None
) -> TextOnlyModel:
    """Load the one network that every task needs; raises CheckpointError with everything that does not fit."""
    config = parse_config(files.config)
    check_preprocessor(files.preprocessor_config)
    tokenizer = _tokenizer(files)
    _, targets = _languages(files, tokenizer)
    with torch.device("meta"):
        decoder = new_text_decoder(config, Decoder, files.alignment_heads)
        network = TextOnlyNetwork(SpeechEncoder(config), decoder)
    load_parameters(network, files.tensors, to_ours, dtype=dtype, device=device)
    return TextOnlyModel(
        _capabilities(files, config, tokenizer),
        network,
        tokenizer,
        extract,
        LEAST_SAMPLES,
        {language: _prompt(config, number) for language, number in targets.items()},
    )
