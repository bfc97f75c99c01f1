"""Facts of a checkpoint from its `config.json`, checked against a frozen dataclass of them.

Knows types and names, and of their meaning that a size is at least 1 and an activation one of ours. A key that no
field has must be on a family's list of keys that say nothing about inference; anything else is an error that lists all
problems at once.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from seamless_stream.errors import CheckpointError
from seamless_stream.nn.conformer import ACTIVATIONS

T = TypeVar("T")

# What transformers writes into any config.json: about itself, about training, and defaults of generation, which are
# choices of a run here (`settings.py`).
LIBRARY_KEYS = frozenset(
    "architectures model_type transformers_version torch_dtype dtype _name_or_path return_dict output_hidden_states "
    "output_attentions chunk_size_feed_forward id2label label2id problem_type _attn_implementation torchscript "
    "_attn_implementation_autoset pruned_heads tf_legacy_loss use_bfloat16 use_cache is_encoder_decoder is_decoder "
    "add_cross_attention cross_attention_hidden_size finetuning_task prefix sep_token_id task_specific_params "
    "tie_encoder_decoder tokenizer_class gradient_checkpointing classifier_dropout num_hidden_layers "
    "bad_words_ids begin_suppress_tokens suppress_tokens diversity_penalty do_sample early_stopping "
    "encoder_no_repeat_ngram_size exponential_decay_length_penalty forced_bos_token_id forced_eos_token_id "
    "length_penalty max_length max_new_tokens min_length no_repeat_ngram_size num_beam_groups num_beams "
    "num_return_sequences output_scores remove_invalid_values repetition_penalty return_dict_in_generate "
    "temperature top_k top_p typical_p processor_class".split()
)


def _coerce(value: Any, example: Any) -> Any:
    """The value in the field's own type, or None where it does not fit."""
    if isinstance(example, bool):
        return value if isinstance(value, bool) else None
    if isinstance(example, int):
        return value if isinstance(value, int) and not isinstance(value, bool) else None
    if isinstance(example, float):
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    if isinstance(example, str):
        return value if isinstance(value, str) else None
    if not isinstance(value, list | tuple) or not value:
        return None
    items = tuple(_coerce(item, example[0]) for item in value)
    return None if any(item is None for item in items) else items


def _misfit(name: str, value: Any) -> str | None:
    """What is wrong with a value of the right type: a size of 0 fails far from here, or at the first segment only."""
    if name.endswith(("_act", "activation", "activation_function")) and value not in ACTIVATIONS:
        return f"`{name}` must be one of {', '.join(ACTIVATIONS)}, but is {value!r}"
    if isinstance(value, tuple):
        return next(filter(None, (_misfit(name, item) for item in value)), None)
    is_size = isinstance(value, int) and not isinstance(value, bool) and not name.endswith("_id")
    return f"`{name}` must be at least 1, but is {value}" if is_size and value < 1 else None


def read_facts(
    raw: Mapping[str, Any],
    cls: type[T],
    ignored: frozenset[str],
    *,
    where: str,
    kind: str = "such a checkpoint",
    foreign: frozenset[str] = frozenset(),
    no_sizes: frozenset[str] = frozenset(),
) -> T:
    """A `cls` of the values in `raw`; raises CheckpointError with every problem.

    `where` opens the message: "config.json: ..."; `kind` is what the file describes, which has no `foreign` fields.
    Whole numbers are at least 1, but for ids and `no_sizes`.
    """
    known = {f.name: f.default for f in fields(cls) if f.name not in foreign}  # type: ignore[arg-type]
    assert MISSING not in known.values()
    values: dict[str, Any] = {}
    problems = []
    for name, value in raw.items():
        if name in known:
            values[name] = _coerce(value, known[name])
            if values[name] is None:
                problems.append(f"`{name}` must be like {known[name]!r}, but is {value!r}")
            elif name not in no_sizes and (misfit := _misfit(name, values[name])):
                problems.append(misfit)
        elif name not in ignored and name not in LIBRARY_KEYS:
            problems.append(f"`{name}` is not a field of {kind}")
    refuse(problems, where=where)
    return cls(**values)


def refuse(problems: list[str], *, where: str) -> None:
    """Raise CheckpointError with all problems, where there are any."""
    if problems:
        raise CheckpointError(f"{where}: " + "; ".join(problems) + ".")
