"""A checkpoint's facts that cannot be right are refused when it is loaded, and not at the first segment."""

import json
from pathlib import Path
from typing import Any

import pytest

from seamless_stream.errors import CheckpointError
from seamless_stream.models.checkpoint import resolve
from seamless_stream.models.seamless_m4t.config import check_tables, parse_config, parse_generation_config

PHRASEBOOK = resolve("phrasebook").directory


def facts(file: str) -> dict[str, Any]:
    return dict(json.loads((Path(PHRASEBOOK) / file).read_text(encoding="utf-8")))


def load(config: dict[str, Any], tables: dict[str, Any]) -> None:
    check_tables(
        parse_config(facts("config.json") | config),
        parse_generation_config(facts("generation_config.json") | tables),
    )


def test_the_bundled_one_is_right() -> None:
    load({}, {})


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("activation_function", "gelu_new", "`activation_function` must be one of swish, silu, relu, gelu"),
        ("decoder_attention_heads", 0, "`decoder_attention_heads` must be at least 1, but is 0"),
        ("hidden_size", -192, "`hidden_size` must be at least 1, but is -192"),
        ("upsample_rates", [0, 4, 4, 4], "`upsample_rates` must be at least 1, but is 0"),
        ("upsample_rates", [5, 4, 4], "`upsample_rates` and `upsample_kernel_sizes` must be equally long"),
        ("speech_encoder_chunk_size", 0, "`speech_encoder_chunk_size` must be at least 1"),
        ("adaptor_stride", 0, "`adaptor_stride` must be at least 1"),
        ("decoder_start_token_id", 99_999, "`decoder_start_token_id` must be from 0 to"),
    ],
)
def test_what_no_network_can_have_is_one_sentence(name: str, value: object, sentence: str) -> None:
    with pytest.raises(CheckpointError, match=sentence):
        load({name: value}, {})


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("text_decoder_lang_to_code_id", {"eng": "700"}, "must be a table of ids"),
        ("text_decoder_lang_to_code_id", {"eng": 70_000}, "must have ids from 0 to .* but has 70000"),
        ("t2u_lang_code_to_id", [1], "`t2u_lang_code_to_id` must be a table of ids"),
        ("vocoder_lang_code_to_id", {"eng": 99}, "`vocoder_lang_code_to_id` must have ids from 0 to 3"),
        ("char_to_id", {"a": 5_000}, "`char_to_id` must have ids from 0 to"),
        ("id_to_text", {"a": "b"}, "`id_to_text` must be a table of ids and pieces"),
        ("max_new_tokens", "many", "`max_new_tokens` must be at least 1, but is 'many'"),
        ("decoder_least_log_prob", 0.5, "`decoder_least_log_prob` must be at most 0, but is 0.5"),
    ],
)
def test_tables_that_choose_what_is_not_there_are_one_sentence(
    name: str, value: object, sentence: str
) -> None:
    with pytest.raises(CheckpointError, match=sentence):
        load({}, {name: value})


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(CheckpointError, match=r"hidden_size.*; .*activation_function"):
        load({"activation_function": "tanh", "hidden_size": 0}, {})
