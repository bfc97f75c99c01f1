"""How much of the held-out speech a network in training transcribes and translates exactly, by language.

A greedy decoder of its own, quick and in one batch: a look at the run, not the measure of `evaluate`.
"""

import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from seamless_stream.models.seamless_m4t.model import NUM_PROMPT_TOKENS
from seamless_stream.models.seamless_m4t.network import Network
from tools.phrasebook.batches import Batches, Example, examples_of
from tools.phrasebook.recipe import CONFIG, LANGUAGES, read_phrases
from tools.phrasebook.trainer import PARTS, Trainer

MAX_NEW_TOKENS = 48


@torch.inference_mode()
def greedy(network: Network, states: Tensor, lengths: Tensor, languages: list[int]) -> list[list[int]]:
    """Greedy targets of a batch, without prompt and end: the check of training, not the product's decoder."""
    state = network.text_decoder.init_state(states, lengths)
    start = CONFIG.decoder_start_token_id
    tokens = torch.tensor([[start, lang] for lang in languages], device=states.device)
    rows: list[list[int]] = [[] for _ in languages]
    open_rows = set(range(len(rows)))
    for _ in range(MAX_NEW_TOKENS):
        hidden, state, _ = network.decode(tokens, state)
        tokens = network.logits(hidden[:, -1:]).argmax(2)
        for i in list(open_rows):
            token = int(tokens[i, 0])
            if token == CONFIG.eos_token_id:
                open_rows.discard(i)
            else:
                rows[i].append(token)
        if not open_rows:
            break
    return rows


@torch.inference_mode()
def check(trainer: Trainer, examples: list[Example], translate: bool) -> dict[str, float]:
    """By language, the share of held-out clips whose greedy text (transcript, or translation) is exactly right."""
    network = Network(CONFIG, PARTS).to(trainer.device)
    network.load_state_dict(trainer.average)
    batches = Batches(examples, [], trainer.text, seed=0)
    right: dict[str, list[bool]] = {}
    ordered = sorted(examples, key=lambda e: e.num_frames)
    for start in range(0, len(ordered), 16):
        chosen = ordered[start : start + 16]
        batch = batches.collate(chosen, 1.0 if translate else 0.0, plain=True)
        moved = (t.to(trainer.device) for t in (batch.features, batch.lengths, batch.sizes))
        states, lengths = network.speech_encoder(*moved)
        rows = greedy(network, states, lengths, batch.targets[:, 1].tolist())
        for row, target, example in zip(rows, batch.targets, chosen, strict=True):
            pieces = target[NUM_PROMPT_TOKENS:].tolist()
            wanted = [t for t in pieces if t not in (CONFIG.pad_token_id, CONFIG.eos_token_id)]
            right.setdefault(example.language, []).append(row == wanted)
    return {language: float(np.mean(right[language])) for language in LANGUAGES if language in right}


def held_out(work: Path, count: int) -> dict[str, list[Example]]:
    """A fixed sample of the held-out clips that have been spoken, per set; as many of each language."""
    found = {}
    for name in ("seen", "unseen"):
        phrases = {p["key"]: p for p in read_phrases(work / "corpus" / f"{name}.jsonl")}
        examples = examples_of(work, [name], phrases)
        random.Random(0).shuffle(examples)
        share = count // max(1, len({example.language for example in examples}))
        by_language = ([e for e in examples if e.language == language] for language in LANGUAGES)
        found[name] = [example for group in by_language for example in group[:share]]
    return found


def checks(trainer: Trainer, work: Path, count: int) -> dict[str, str]:
    """The columns of the log that a look at the held-out clips fills; prints them by language, too."""
    row = {}
    for name, examples in held_out(work, count).items():
        for task in ("asr", "s2tt") if examples else ():
            shares = check(trainer, examples, task == "s2tt")
            row[f"{name}_{task}"] = f"{np.mean(list(shares.values())):.3f}"
            print(f"{name} {task}:", *(f"{code} {share:.2f}" for code, share in shares.items()), flush=True)
    return row
