"""Facts of a SeamlessM4T checkpoint, from its `config.json` and `generation_config.json`; never choices of a run.

Field names are those of the file. What only matters in training (dropout, layerdrop, initializer) is accepted and
dropped; anything unknown or of the wrong type is an error that lists all problems at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seamless_stream.models.facts import read_facts, refuse

SPECIAL_UNITS = (
    4  # unit ids 0..3 are bos, pad, eos, unk; unit k of the vocoder is k + 4 in the T2U vocabulary
)

# Keys of a released config.json that say nothing about inference.
IGNORED_KEYS = frozenset(
    "dropout attention_dropout activation_dropout encoder_layerdrop decoder_layerdrop speech_encoder_dropout "
    "speech_encoder_layerdrop adaptor_dropout t2u_variance_pred_dropout var_pred_dropout initializer_range "
    "num_attention_heads sampling_rate".split()
)
# Of v1's config.json: sizes of tables that are computed to any length, and of layers that no checkpoint has.
UNUSED_KEYS_V1 = frozenset(
    "max_source_positions rotary_embedding_base num_conv_pos_embeddings num_conv_pos_embedding_groups".split()
)

V1, V2 = "seamless_m4t", "seamless_m4t_v2"
# What v1 says otherwise where its config.json is silent, and what only one of the two has.
DEFAULTS_V1: dict[str, Any] = {
    "model_type": V1,
    "max_position_embeddings": 1024,
    "position_embeddings_type": "relative",
    "t2u_max_position_embeddings": 2048,
}
ONLY_V1 = frozenset({"t2u_decoder_start_token_id", "t2u_max_new_tokens"})
ONLY_V2 = frozenset(
    "char_vocab_size left_max_position_embeddings right_max_position_embeddings speech_encoder_chunk_size "
    "speech_encoder_left_chunk_num t2u_variance_predictor_embed_dim t2u_variance_predictor_hidden_dim "
    "t2u_variance_predictor_kernel_size".split()
)
# Numbers that may be 0, or below it for "all".
NO_SIZES = frozenset(
    "left_max_position_embeddings right_max_position_embeddings speech_encoder_left_chunk_num vocoder_offset".split()
)
POSITIONS = {V1: "relative", V2: "relative_key"}


@dataclass(frozen=True)
class SeamlessM4TConfig:
    """Architecture of SeamlessM4T; the defaults are facebook/seamless-m4t-v2-large."""

    model_type: str = V2
    vocab_size: int = 256102
    t2u_vocab_size: int = 10082
    char_vocab_size: int = 10943
    hidden_size: int = 1024
    layer_norm_eps: float = 1e-5
    max_position_embeddings: int = 4096
    activation_function: str = "relu"
    scale_embedding: bool = True
    encoder_layers: int = 24
    encoder_ffn_dim: int = 8192
    encoder_attention_heads: int = 16
    decoder_layers: int = 24
    decoder_ffn_dim: int = 8192
    decoder_attention_heads: int = 16
    decoder_start_token_id: int = 3
    pad_token_id: int = 0
    bos_token_id: int = 2
    eos_token_id: int = 3
    speech_encoder_layers: int = 24
    speech_encoder_attention_heads: int = 16
    speech_encoder_intermediate_size: int = 4096
    speech_encoder_hidden_act: str = "swish"
    add_adapter: bool = True
    feature_projection_input_dim: int = 160
    adaptor_kernel_size: int = 8
    adaptor_stride: int = 8
    num_adapter_layers: int = 1
    position_embeddings_type: str = "relative_key"
    conv_depthwise_kernel_size: int = 31
    left_max_position_embeddings: int = 64
    right_max_position_embeddings: int = 8
    speech_encoder_chunk_size: int = 20000
    speech_encoder_left_chunk_num: int = 128
    t2u_bos_token_id: int = 0
    t2u_pad_token_id: int = 1
    t2u_eos_token_id: int = 2
    t2u_decoder_start_token_id: int = 2
    t2u_max_new_tokens: int = 1024
    t2u_encoder_layers: int = 6
    t2u_encoder_ffn_dim: int = 8192
    t2u_encoder_attention_heads: int = 16
    t2u_decoder_layers: int = 6
    t2u_decoder_ffn_dim: int = 8192
    t2u_decoder_attention_heads: int = 16
    t2u_max_position_embeddings: int = 4096
    t2u_variance_predictor_embed_dim: int = 1024
    t2u_variance_predictor_hidden_dim: int = 256
    t2u_variance_predictor_kernel_size: int = 3
    upsample_initial_channel: int = 512
    upsample_rates: tuple[int, ...] = (5, 4, 4, 2, 2)
    upsample_kernel_sizes: tuple[int, ...] = (11, 8, 8, 4, 4)
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    leaky_relu_slope: float = 0.1
    unit_hifi_gan_vocab_size: int = 10000
    unit_embed_dim: int = 1280
    lang_embed_dim: int = 256
    spkr_embed_dim: int = 256
    vocoder_num_langs: int = 36
    vocoder_num_spkrs: int = 200
    variance_predictor_kernel_size: int = 3
    vocoder_offset: int = SPECIAL_UNITS
    tie_word_embeddings: bool = True

    @property
    def is_v1(self) -> bool:
        """Full-context speech encoder and autoregressive text-to-unit model."""
        return self.model_type == V1

    @property
    def chunk_frames(self) -> int | None:
        """Stacked frames that see each other whole in the speech encoder; None: all of them, always."""
        return None if self.is_v1 else self.speech_encoder_chunk_size

    @property
    def embedding_scale(self) -> float:
        """Factor on token and character embeddings."""
        return float(self.hidden_size**0.5) if self.scale_embedding else 1.0

    @property
    def samples_per_unit(self) -> int:
        """Samples that the vocoder makes of one unit."""
        product = 1
        for rate in self.upsample_rates:
            product *= rate
        return product


def parse_config(raw: Mapping[str, Any]) -> SeamlessM4TConfig:
    """Check and freeze a parsed `config.json`; raises CheckpointError with every problem."""
    is_v1 = raw.get("model_type") == V1
    defaults, foreign, unused = (
        (DEFAULTS_V1, ONLY_V2, UNUSED_KEYS_V1) if is_v1 else ({}, ONLY_V1, frozenset())
    )
    config = read_facts(
        {**defaults, **raw},
        SeamlessM4TConfig,
        IGNORED_KEYS | unused,
        where="config.json",
        kind=f"a SeamlessM4T {'v1' if is_v1 else 'v2'} checkpoint",
        foreign=foreign,
        no_sizes=NO_SIZES,
    )
    _check_supported(config)
    return config


def _check_supported(config: SeamlessM4TConfig) -> None:
    problems = []
    positions = POSITIONS.get(config.model_type)
    if positions is None:
        problems.append(f"`model_type` must be one of {', '.join(POSITIONS)}, but is {config.model_type!r}")
    elif config.position_embeddings_type != positions:
        problems.append(
            f"`position_embeddings_type` must be {positions!r}, but is {config.position_embeddings_type!r}"
        )
    if not config.add_adapter:
        problems.append("`add_adapter` must be true, but is false")
    for name in ("encoder", "decoder", "speech_encoder", "t2u_encoder", "t2u_decoder"):
        heads = getattr(config, f"{name}_attention_heads")
        if config.hidden_size % heads:
            problems.append(f"`hidden_size` must be a multiple of `{name}_attention_heads` = {heads}")
    for first, second in (
        ("upsample_rates", "upsample_kernel_sizes"),
        ("resblock_kernel_sizes", "resblock_dilation_sizes"),
    ):
        if len(getattr(config, first)) != len(getattr(config, second)):
            problems.append(f"`{first}` and `{second}` must be equally long")
    for name, size in vars(config).items():
        limit = config.t2u_vocab_size if name.startswith("t2u_") else config.vocab_size
        if name.endswith("_token_id") and not 0 <= size < limit:
            problems.append(f"`{name}` must be from 0 to {limit - 1}, but is {size}")
    refuse(problems, where="config.json")


@dataclass(frozen=True)
class GenerationConfig:
    """Tables of `generation_config.json`: which ids mean which language, piece and (v2) character."""

    text_languages: dict[str, int]
    unit_languages: dict[str, int]
    vocoder_languages: dict[str, int]
    speech_languages: tuple[str, ...]  # in all three tables, as the reference demands for speech
    id_to_text: dict[int, str]
    char_to_id: dict[str, int]
    max_new_tokens: int
    least_log_prob: float | None  # ours: see `Capabilities`
    names_source: bool  # ours: trained to say, where the target language is given, which language it hears


def parse_generation_config(raw: Mapping[str, Any]) -> GenerationConfig:
    """Text-only checkpoints may lack the tables of speech; text languages are required. Raises CheckpointError."""
    problems: list[str] = []
    text = _ids(raw, "text_decoder_lang_to_code_id", problems)
    if not text and not problems:
        problems.append("`text_decoder_lang_to_code_id` must be a table, but is missing")
    units = _ids(raw, "t2u_lang_code_to_id", problems)
    vocoder = _ids(raw, "vocoder_lang_code_to_id", problems)
    characters = _ids(raw, "char_to_id", problems)
    pieces = raw.get("id_to_text") or {}
    is_table = isinstance(pieces, dict) and all(isinstance(piece, str) for piece in pieces.values())
    if not is_table or not all(str(key).isdecimal() for key in pieces):
        problems.append("`id_to_text` must be a table of ids and pieces")
    limit = raw.get("max_new_tokens") or 256
    if not isinstance(limit, int) or limit < 1:
        problems.append(f"`max_new_tokens` must be at least 1, but is {limit!r}")
    least = raw.get("decoder_least_log_prob")
    if not (least is None or (isinstance(least, int | float) and least <= 0)):
        problems.append(f"`decoder_least_log_prob` must be at most 0, but is {least!r}")
    refuse(problems, where="generation_config.json")
    return GenerationConfig(
        text_languages=text,
        unit_languages=units,
        vocoder_languages=vocoder,
        speech_languages=tuple(lang for lang in text if lang in units and lang in vocoder),
        id_to_text={int(key): piece for key, piece in pieces.items()},
        char_to_id=characters,
        max_new_tokens=limit,
        least_log_prob=least,
        names_source=raw.get("decoder_names_source") is True,
    )


def _ids(raw: Mapping[str, Any], name: str, problems: list[str]) -> dict[str, int]:
    table = raw.get(name) or {}
    if isinstance(table, dict) and all(isinstance(number, int) for number in table.values()):
        return dict(table)
    problems.append(f"`{name}` must be a table of ids")
    return {}


def check_tables(config: SeamlessM4TConfig, tables: GenerationConfig) -> None:
    """Raise CheckpointError where an id is beyond what it chooses from: on a GPU it would end all sessions."""
    problems = [
        f"`{name}` must have ids from 0 to {size - 1}, but has {number}"
        for name, table, size in (
            ("text_decoder_lang_to_code_id", tables.text_languages, config.vocab_size),
            ("t2u_lang_code_to_id", tables.unit_languages if config.is_v1 else {}, config.t2u_vocab_size),
            ("vocoder_lang_code_to_id", tables.vocoder_languages, config.vocoder_num_langs),
            ("char_to_id", tables.char_to_id, config.char_vocab_size),
        )
        for number in [next((n for n in table.values() if not 0 <= n < size), None)]
        if number is not None
    ]
    refuse(problems, where="generation_config.json")
