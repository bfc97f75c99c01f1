"""The phrasebook's main network in training: its losses, one step, what is saved and how a run begins.

Knows the network with its auxiliary heads, optimizer and moving average; nothing of the loop, of logs or of held-out
speech.
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from seamless_stream.models.seamless_m4t.model import NUM_PROMPT_TOKENS
from seamless_stream.models.seamless_m4t.network import Network
from tools.phrasebook.batches import Batches, SpeechBatch, TextBatch
from tools.phrasebook.carry import carry_all, token_rows, widened
from tools.phrasebook.earlier import Earlier
from tools.phrasebook.files import replacing
from tools.phrasebook.guide import Guide
from tools.phrasebook.prefixes import HEADS, prefix_loss
from tools.phrasebook.recipe import BLANK, CONFIG, NUM_PIECES, OFFSET, Text
from tools.phrasebook.team import Team

PARTS = frozenset({"speech_encoder", "text_encoder", "text_decoder"})
LABEL_SMOOTHING = 0.1
LETTERS_PER_STATE = 4  # that an encoder state of 160 ms has to spell: 25 letters a second
MAX_SKIPPED = 20


@dataclass
class Progress:
    """Where a run stands; saved with the weights."""

    step: int = 0
    seconds: float = 0.0


def garbled(tokens: Tensor, share: float) -> Tensor:
    """Pieces [B, T] with a random share of them replaced by random ones, so that the decoder has to listen."""
    if not share:
        return tokens
    any_piece = torch.randint_like(tokens, OFFSET, OFFSET + NUM_PIECES)
    chosen = (torch.rand(tokens.shape, device=tokens.device) < share) & (tokens != CONFIG.pad_token_id)
    chosen[:, :NUM_PROMPT_TOKENS] = False
    return torch.where(chosen, any_piece, tokens)


def learning_rate(step: int, options: argparse.Namespace) -> float:
    """Warm-up, a long plateau, and a cosine to zero at the end: the CTC has to fall before the rate does."""
    if step < options.warmup:
        return float(options.rate * (step + 1) / options.warmup)
    start = int(options.steps * options.plateau)
    if step < start:
        return float(options.rate)
    done = min(1.0, (step - start) / max(1, options.steps - start))
    return float(options.rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))))


class Trainer:
    """The network with its auxiliary head, optimizer and moving average."""

    def __init__(self, text: Text, device: torch.device) -> None:
        self.text, self.device = text, device
        self.team = Team()
        self.network = Network(CONFIG, PARTS)
        self._init_weights()
        self.ctc_head = nn.Linear(CONFIG.hidden_size, len(text.letters) + 1)
        self.state_head = nn.Linear(CONFIG.hidden_size, LETTERS_PER_STATE * (len(text.letters) + 1))
        self.network.to(device), self.ctc_head.to(device), self.state_head.to(device)
        self.parameters = [
            *self.network.parameters(),
            *self.ctc_head.parameters(),
            *self.state_head.parameters(),
        ]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01, fused=True
        )
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.progress = Progress()
        self.garble = 0.0  # share of the decoder's input that is wrong
        self.num_skipped = 0  # steps without a finite gradient, one after another

    def _init_weights(self) -> None:
        nn.init.normal_(self.network.tokens.weight, std=CONFIG.hidden_size**-0.5)
        for name, parameter in self.network.named_parameters():
            if parameter.dim() == 2 and "tokens" not in name and "distance" not in name:
                nn.init.xavier_uniform_(parameter)
            if name.endswith("distance.weight"):
                nn.init.normal_(parameter, std=0.02)

    def decoder_loss(
        self, states: Tensor, lengths: Tensor, targets: Tensor, languages: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the tokens after the language token, and where the heads of `prefixes` looked.

        The language of the target is given; in its place the decoder says which `languages` [B] it hears or reads.
        """
        state = self.network.text_decoder.init_state(states, lengths)
        given = garbled(targets[:, :-1], self.garble)
        hidden, _, attention = self.network.decode(given, state, heads=HEADS)
        assert attention is not None
        labels = targets[:, 1:].clone()
        labels[:, 0] = languages
        logits = self.network.logits(hidden).flatten(0, 1)
        loss = F.cross_entropy(
            logits, labels.flatten(), ignore_index=CONFIG.pad_token_id, label_smoothing=LABEL_SMOOTHING
        )
        return loss, attention

    def letters_loss(self, logits: Tensor, lengths: Tensor, batch: SpeechBatch) -> Tensor:
        """Character CTC of logits [B, T, letters + 1] against what is said: of each letter, or of each frame where
        nothing is."""
        lengths, counts = lengths.cpu(), batch.letter_lengths
        losses = F.ctc_loss(
            logits.log_softmax(2).transpose(0, 1),
            batch.letters,
            lengths,
            counts,
            blank=BLANK,
            reduction="none",
            zero_infinity=True,
        )
        return (losses / torch.where(counts > 0, counts, lengths).to(losses.device)).mean()

    def speech_losses(self, batch: SpeechBatch) -> dict[str, Tensor]:
        """By name: decoder loss, CTC loss, attention away from the diagonal; and of beginnings, loss and attention."""
        encoder = self.network.speech_encoder
        features, lengths, sizes = (t.to(self.device) for t in (batch.features, batch.lengths, batch.sizes))
        frames, _ = encoder.stream(features, lengths, encoder.init_state(len(lengths)))
        ctc = self.letters_loss(self.ctc_head(frames), lengths, batch)
        states, state_lengths = encoder.adapt(frames, lengths, sizes)
        spelled = self.state_head(states).unflatten(2, (LETTERS_PER_STATE, -1)).flatten(1, 2)
        ctc = ctc + 0.5 * self.letters_loss(spelled, LETTERS_PER_STATE * state_lengths, batch)
        targets = batch.targets.to(self.device)
        count = len(lengths)  # of clips, each of which may be written in several languages
        times = len(targets) // count
        spoken = batch.languages.to(self.device).repeat(times)
        states, state_lengths = states.repeat(times, 1, 1), state_lengths.repeat(times)
        with Guide(self.network.text_decoder) as guide:
            loss, attention = self.decoder_loss(states, state_lengths, targets, spoken)
        token_lengths = (targets[:, :-1] != CONFIG.pad_token_id).sum(1)
        away = guide.loss(token_lengths, state_lengths)
        prefix, astray = prefix_loss(self.network, frames, lengths, targets[:count], attention[:count])
        return {"speech": loss, "ctc": ctc, "away": away, "prefix": prefix, "astray": astray}

    def text_loss(self, batch: TextBatch) -> Tensor:
        """Decoder loss of one batch of text."""
        lengths = batch.source_lengths.to(self.device)
        states = self.network.encode_text(batch.sources.to(self.device), lengths)
        targets, languages = batch.targets.to(self.device), batch.languages.to(self.device)
        return self.decoder_loss(states, lengths, targets, languages)[0]

    def step(self, batches: Batches, options: argparse.Namespace) -> dict[str, float]:
        """One update; returns what is logged, nothing where there was none."""
        rate = learning_rate(self.progress.step, options)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        share = self.team.size
        losses = self.speech_losses(batches.speech(options.frames // share, options.translate))
        losses["text"] = self.text_loss(batches.texts(options.texts // share))
        weights = {
            "ctc": options.ctc,
            "away": options.guide,
            "prefix": options.prefix,
            "astray": options.prefix,
        }
        loss = torch.stack([weights.get(name, 1.0) * value for name, value in losses.items()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.team.average_gradients(self.parameters)
        norm = nn.utils.clip_grad_norm_(self.parameters, 5.0)
        self.num_skipped = 0 if bool(torch.isfinite(norm)) else self.num_skipped + 1
        if self.num_skipped == MAX_SKIPPED:
            raise RuntimeError(f"{MAX_SKIPPED} steps one after another had no finite gradient: lower --rate.")
        if self.num_skipped:  # a finite loss can have an infinite gradient, which would stay in the weights
            return {}
        self.optimizer.step()
        decay = min(0.998, (self.progress.step + 1) / (self.progress.step + 20))
        for name, value in self.network.state_dict().items():
            self.average[name].lerp_(value, 1 - decay)
        self.progress.step += 1
        return {name: value.item() for name, value in losses.items()} | {"norm": float(norm), "rate": rate}

    def save(self, folder: Path) -> None:
        """State to resume from (weights-only loadable) and the average for the exporter; each replaced in one move."""
        state = {
            "network": self.network.state_dict(),
            "ctc_head": self.ctc_head.state_dict(),
            "state_head": self.state_head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "step": self.progress.step,
            "seconds": self.progress.seconds,
        }
        with replacing(folder / "state.pt") as path:
            torch.save(state, path)
        with replacing(folder / "weights.safetensors") as path:
            save_file({k: v.cpu().contiguous() for k, v in self.average.items()}, path)
        head = {k: v.cpu() for k, v in self.ctc_head.state_dict().items()}  # for tools/calibrate_heads.py
        with replacing(folder / "ctc_head.safetensors") as path:
            save_file(head, path)

    def load(self, folder: Path) -> None:
        """Go on where `save` stopped."""
        state = torch.load(folder / "state.pt", map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.ctc_head.load_state_dict(state["ctc_head"])
        if "state_head" in state:
            self.state_head.load_state_dict(state["state_head"])
        state["optimizer"]["param_groups"][0]["fused"] = True
        numbers = list(range(len(self.parameters)))  # heads may be new
        state["optimizer"]["param_groups"][0]["params"] = numbers
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = state["average"]
        self.progress = Progress(state["step"], state["seconds"])

    def start_from(self, earlier: Earlier) -> None:
        """The weights of a checkpoint, perhaps with another tokenizer, fewer languages and narrower feed-forwards."""
        tables = {"tokens.weight": token_rows(earlier.text, self.text, earlier.languages)}
        fresh = self.network.state_dict()
        self.network.load_state_dict(carry_all(widened(earlier.main(), fresh), fresh, tables))
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
