"""Compare with transformers at full size: v2-large architecture, random weights, float32, one clip.

    python tools/check_full_size.py [--checkpoint DIR] [--seconds 5] [--write docs/parity.md]

Features, speech encoder, text encoder, eight decoder steps, text-to-unit model and vocoder. The reference is built and
freed one component at a time, then ours is loaded whole, so that 24 GB of memory are enough; each of our components
reads the reference's input, so that errors do not add up, and the greedy text is decoded by each on its own.
A missing checkpoint is written first (10 GB of disk). Exits with 1 if anything is out of tolerance.
"""

import argparse
import gc
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seamless_stream.engine.decoding import decode
from seamless_stream.models.base import EncoderOutput
from seamless_stream.models.checkpoint import CheckpointFiles, resolve
from seamless_stream.models.registry import load_files
from seamless_stream.models.seamless_m4t.features import Features
from seamless_stream.models.seamless_m4t.t2u_nar import to_durations
from seamless_stream.settings import DecodingSettings

DEFAULT_CHECKPOINT = Path.home() / ".cache" / "seamless_stream" / "random-v2-large"
MARKS = ("<!-- full-size: written by tools/check_full_size.py -->", "<!-- end of full-size -->")
SAMPLE_RATE = 16_000
NEW_TOKENS = 8
SPEAKER = 1
SOURCE_TEXT, SOURCE_LANGUAGE, TARGET_LANGUAGE = "where is the station please", "eng", "spa"
FEATURE_TOLERANCE, TOLERANCE = 2e-5, 1e-4


@dataclass(frozen=True)
class Row:
    """One line of the table; a tolerance of 0 means that integers must be identical."""

    name: str
    shape: tuple[int, ...]
    largest: float
    difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """NaN never passes."""
        return self.difference <= self.tolerance

    def __str__(self) -> str:
        limit = f"{self.tolerance:.0e}" if self.tolerance else "identical"
        shape = " x ".join(map(str, self.shape))
        verdict = "yes" if self.passed else "**NO**"
        return f"| {self.name} | {shape} | {self.largest:.3g} | {self.difference:.1e} | {limit} | {verdict} |"


def compare(name: str, ours: Tensor, theirs: Tensor, tolerance: float) -> Row:
    """Greatest absolute difference; infinite where shapes differ."""
    if ours.shape != theirs.shape:
        return Row(f"{name} (ours {list(ours.shape)})", tuple(theirs.shape), 0.0, float("inf"), tolerance)
    largest, difference = theirs.abs().max(), (ours.double() - theirs.double()).abs().max()
    return Row(name, tuple(theirs.shape), float(largest), float(difference), tolerance)


def clip(seconds: float) -> np.ndarray:
    """Samples [N] float32: gliding tones over noise."""
    generator = np.random.default_rng(5)
    time_s = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    sound = 0.02 * generator.standard_normal(len(time_s))
    for _ in range(5):
        start, slope, speed = (
            generator.uniform(100, 3000),
            generator.uniform(-300, 300),
            generator.uniform(1, 5),
        )
        tone = np.sin(2 * np.pi * (start + slope * time_s) * time_s)
        sound += 0.1 * np.sin(2 * np.pi * speed * time_s) ** 2 * tone
    return sound.astype(np.float32)


# --- the reference, one component at a time ------------------------------------------------------------


@dataclass
class Reference:
    """What the reference makes of the clip, each step from its own last one."""

    values: Tensor  # [1, T, 160]
    mask: Tensor  # [1, T]
    states: Tensor  # [1, S, D]
    num_states: int
    source_ids: list[int]
    text_states: Tensor  # [1, S', D]
    tokens: list[int]
    logits: Tensor  # [1, P + n, V]
    hidden: Tensor  # [1, P + n, D]
    char_counts: Tensor  # [1, P + n]
    unit_logits: Tensor  # [1, U, V']
    unit_durations: Tensor  # [1, C]
    unit_ids: list[int]
    samples: Tensor  # [N]


def fill(module: Any, files: CheckpointFiles, prefix: str, aliases: dict[str, str]) -> Any:
    """Give a component of the reference its tensors, exactly as they are on disk."""
    names = {
        name: aliases.get(name, prefix + name) for name, _ in module.named_parameters(remove_duplicate=False)
    }
    with torch.no_grad():
        for name, parameter in module.named_parameters(remove_duplicate=False):
            parameter.copy_(files.tensors.read(names[name]))
    return module.eval()


@contextmanager
def component(label: str, build: Callable[[], Any]) -> Iterator[Any]:
    """Build, hand over, free."""
    start = time.perf_counter()
    module = build()
    print(f"reference: {label} built in {time.perf_counter() - start:.0f} s", flush=True)
    yield module
    del module
    gc.collect()


@contextmanager
def without_initialisation() -> Iterator[None]:
    """Random initial values cost a minute and are overwritten anyway."""
    kept = {
        name: getattr(nn.init, name)
        for name in ("kaiming_uniform_", "uniform_", "normal_", "xavier_uniform_")
    }
    for name in kept:
        setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)
    yield
    for name, function in kept.items():
        setattr(nn.init, name, function)


@torch.inference_mode()
def run_reference(files: CheckpointFiles, samples: np.ndarray, source_ids: list[int]) -> Reference:
    """All components in turn."""
    from transformers import GenerationConfig, SeamlessM4TFeatureExtractor, SeamlessM4Tv2Config
    from transformers.models.seamless_m4t_v2 import modeling_seamless_m4t_v2 as m2

    config = SeamlessM4Tv2Config.from_pretrained(files.directory, attn_implementation="sdpa")
    tables: Any = GenerationConfig.from_pretrained(files.directory)
    extractor = SeamlessM4TFeatureExtractor.from_pretrained(files.directory)
    extracted = extractor(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt")
    values, mask = extracted["input_features"], extracted["attention_mask"]

    def build(kind: str, prefix: str, **aliases: str) -> Callable[[], Any]:
        renamed = {name.replace("__", "."): target for name, target in aliases.items()}
        return lambda: fill(getattr(m2, kind)(config), files, prefix, renamed)

    with component("speech encoder", build("SeamlessM4Tv2SpeechEncoder", "speech_encoder.")) as encoder:
        states = encoder(input_features=values, attention_mask=mask).last_hidden_state
        num_states = int(encoder._compute_sub_sample_lengths_from_attention_mask(mask))
    table = {"embed_tokens__weight": "shared.weight"}
    with component("text encoder", build("SeamlessM4Tv2Encoder", "text_encoder.", **table)) as encoder:
        text_states = encoder(input_ids=torch.tensor([source_ids])).last_hidden_state
    with component("text decoder", build("SeamlessM4Tv2Decoder", "text_decoder.", **table)) as decoder:
        prompt = [config.decoder_start_token_id, tables.text_decoder_lang_to_code_id[TARGET_LANGUAGE]]
        tokens, logits, hidden = decode_greedily(decoder, states, num_states, prompt)
    head = {"lm_head__weight": "t2u_model.model.decoder.embed_tokens.weight"}
    with component(
        "text to unit", build("SeamlessM4Tv2TextToUnitForConditionalGeneration", "t2u_model.", **head)
    ) as t2u:
        t2u.generation_config = tables
        counts, unit_logits, unit_durations = speak(t2u, tokens, hidden)
    unit_ids = unit_logits[0].argmax(-1).tolist()
    with component("vocoder", build("SeamlessM4Tv2CodeHifiGan", "vocoder.")) as vocoder:
        language = torch.tensor([[tables.vocoder_lang_code_to_id[TARGET_LANGUAGE]]])
        units = torch.tensor([unit_ids]) - config.vocoder_offset
        wave, _ = vocoder(input_ids=units, speaker_id=torch.tensor([[SPEAKER]]), lang_id=language)
    return Reference(
        values,
        mask,
        states,
        num_states,
        source_ids,
        text_states,
        tokens,
        logits,
        hidden,
        counts,
        unit_logits,
        unit_durations,
        unit_ids,
        wave.reshape(-1),
    )


def decode_greedily(
    decoder: Any, states: Tensor, num_states: int, prompt: list[int]
) -> tuple[list[int], Tensor, Tensor]:
    """The reference's decoder with its cache: prompt and new tokens, logits and hidden states of all of them."""
    mask = (torch.arange(states.shape[1])[None] < num_states).long()
    tokens, given, cache = list(prompt), prompt, None
    all_logits, all_hidden = [], []
    for _ in range(NEW_TOKENS + 1):
        output = decoder(
            input_ids=torch.tensor([given]),
            encoder_hidden_states=states,
            encoder_attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
        )
        cache = output.past_key_values
        all_hidden.append(output.last_hidden_state)
        all_logits.append(output.last_hidden_state @ decoder.embed_tokens.weight.T)  # the tied head
        if len(tokens) < len(prompt) + NEW_TOKENS:
            given = [int(all_logits[-1][0, -1].argmax())]
            tokens += given
    return tokens, torch.cat(all_logits, 1), torch.cat(all_hidden, 1)


def speak(t2u: Any, tokens: list[int], hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The reference's own spelling of the free tokens, then units and their durations."""
    free = torch.tensor([tokens[2:]])
    pieces = t2u._indices_to_subwords(free)
    counts = t2u._count_character_length_in_subword(free, pieces, pad_token_id=0)
    zero = counts.new_zeros(1, 1)
    counts = torch.cat([zero, counts, zero], dim=1)
    char_ids = t2u._get_char_input_ids(free, pieces, counts, pad_token_id=0)
    seen: list[Tensor] = []
    predictor = t2u.model.decoder.duration_predictor
    hook = predictor.register_forward_hook(lambda *args: seen.append(to_durations(args[2])))
    mask = torch.ones(1, hidden.shape[1], dtype=torch.int64)
    output = t2u(inputs_embeds=hidden, char_input_ids=char_ids, char_count_per_id=counts, attention_mask=mask)
    hook.remove()
    return counts, output[0], seen[0]


# --- ours ----------------------------------------------------------------------------------------------


@torch.inference_mode()
def check_speech_path(files: CheckpointFiles, samples: np.ndarray, reference: Reference) -> list[Row]:
    """Everything but the text encoder."""
    model: Any = load_files(files, device="cpu", dtype=torch.float32, tasks=["s2st"])
    features = model.features(samples)
    rows = [compare("features", torch.from_numpy(features.values)[None], reference.values, FEATURE_TOLERANCE)]
    encoded = model.encode_speech([Features(reference.values[0].numpy(), int(reference.mask.sum()))])
    rows.append(compare("speech encoder", encoded.states, reference.states, TOLERANCE))
    rows.append(compare("speech encoder, length", encoded.lengths, torch.tensor([reference.num_states]), 0))
    given = EncoderOutput(reference.states, torch.tensor([reference.num_states]))
    rows += check_decoder(model, given, reference)
    logits: list[tuple[Tensor, Tensor]] = []
    hook = model.network.t2u.register_forward_hook(lambda *args: logits.append(args[2]))
    units = model.units([reference.tokens], [reference.hidden[0]], TARGET_LANGUAGE)[0]
    hook.remove()
    rows.append(compare("text to unit, durations", logits[0][1], reference.unit_durations, 0))
    rows.append(compare("text to unit, logits", logits[0][0], reference.unit_logits, TOLERANCE))
    rows.append(compare("text to unit, units", torch.tensor(units.ids), torch.tensor(reference.unit_ids), 0))
    repeated = np.repeat(units.ids, units.repeats).tolist()
    wave = torch.from_numpy(model.vocode([repeated], TARGET_LANGUAGE, SPEAKER)[0])
    rows.append(compare("vocoder, samples", wave, reference.samples, TOLERANCE))
    return rows


def check_decoder(model: Any, given: EncoderOutput, reference: Reference) -> list[Row]:
    """Logits and hidden states of the reference's tokens, one step each; then the text decoded freely."""
    state, first = model.decoder.init_state(given), 0
    all_logits, all_hidden = [], []
    while first < len(reference.tokens):
        last = first + (2 if first == 0 else 1)
        ids = torch.tensor([reference.tokens[first:last]])
        step = model.decoder.step(ids, state, num_logits=last - first)
        state = step.state
        all_logits.append(step.logits)
        all_hidden.append(step.hidden)
        first = last
    name = f"text decoder, prompt and {NEW_TOKENS} steps"
    rows = [
        compare(f"{name}, hidden", torch.cat(all_hidden, 1), reference.hidden, TOLERANCE),
        compare(f"{name}, logits", torch.cat(all_logits, 1), reference.logits, TOLERANCE),
    ]
    settings = DecodingSettings(max_new_tokens=NEW_TOKENS)
    decoded = decode(model.decoder, given, model.prompt(TARGET_LANGUAGE), settings)[0]
    tokens = torch.tensor(decoded.token_ids)
    return [*rows, compare("greedy tokens", tokens, torch.tensor(reference.tokens), 0)]


@torch.inference_mode()
def check_text_encoder(files: CheckpointFiles, reference: Reference) -> list[Row]:
    """Loaded on its own, after the rest is freed."""
    model: Any = load_files(files, device="cpu", dtype=torch.float32, tasks=["t2tt"])
    states = model.encode_text([reference.source_ids]).states
    return [compare("text encoder", states, reference.text_states, TOLERANCE)]


# --- the whole -----------------------------------------------------------------------------------------


def table_of(rows: list[Row], seconds: float) -> str:
    """Markdown."""
    import transformers

    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    lines = [
        f"Clip of {seconds:g} s, float32, {versions}, {torch.get_num_threads()} threads.",
        "",
        "| component | shape | largest value | greatest difference | allowed | passed |",
        "|---|---|---:|---:|---:|---|",
        *map(str, rows),
    ]
    return "\n".join(lines)


def write_between_marks(file: Path, text: str) -> None:
    """Replace what stands between the two marks of a page."""
    before, _, rest = file.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    file.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}")


def source_ids_of(files: CheckpointFiles) -> list[int]:
    """The source sentence, tokenized once for both."""
    from seamless_stream.models.tokenizer import SentencePieceTokenizer

    languages = files.generation_config["text_decoder_lang_to_code_id"]
    return SentencePieceTokenizer(files.tokenizer_model, languages).encode_source(
        SOURCE_TEXT, SOURCE_LANGUAGE
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT_CHECKPOINT)
    parser.add_argument("--size", default="v2-large", help="of the checkpoint to write where there is none")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--write", type=Path, help="page whose marked section takes the table")
    arguments = parser.parse_args()
    if not (arguments.checkpoint / "config.json").exists():
        maker = [sys.executable, "-m", "tools.make_random_checkpoint", "--size", arguments.size]
        subprocess.run([*maker, "--output", str(arguments.checkpoint)], check=True)
    files = resolve(str(arguments.checkpoint), offline=True)
    samples = clip(arguments.seconds)
    with without_initialisation():
        reference = run_reference(files, samples, source_ids_of(files))
    rows = check_speech_path(files, samples, reference)
    gc.collect()
    rows[3:3] = check_text_encoder(files, reference)
    table = table_of(rows, arguments.seconds)
    print(table)
    if arguments.write:
        write_between_marks(arguments.write, table)
    if not all(row.passed for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
