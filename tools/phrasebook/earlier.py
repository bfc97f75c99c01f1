"""An earlier phrasebook checkpoint, such as the bundled one, as what training begins from.

It may know fewer languages and pieces than the recipe, and it need not speak; what becomes of its tables is in
`carry.py`. What its files do not hold begins anew: optimizers, the heads of the character CTC, the vocoder's judges.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seamless_stream.models.checkpoint import resolve
from seamless_stream.models.seamless_m4t.model import capabilities, load
from tools.phrasebook.recipe import Text
from tools.phrasebook.run_log import RECORD_FILE


class Earlier:
    """Weights by our names, tokenizer, languages and history of a checkpoint directory.

    Raises:
        CheckpointError: what is there is no checkpoint, or a damaged one.
    """

    def __init__(self, directory: Path) -> None:
        files = resolve(str(directory))
        tasks = capabilities(files).tasks
        model = load(files, device=torch.device("cpu"), dtype=torch.float32, tasks=tasks)
        self.tokenizer = files.tokenizer_model
        self.text = Text(self.tokenizer)
        self.languages = list(model.capabilities.target_languages)
        self.characters: dict[str, int] = files.generation_config.get("char_to_id", {})
        self.runs: list[dict[str, Any]] = json.loads((directory / RECORD_FILE).read_text(encoding="utf-8"))
        self._weights = model.network.state_dict()

    def main(self) -> dict[str, Tensor]:
        """Of speech encoder, text encoder and decoder."""
        return {n: t for n, t in self._weights.items() if not n.startswith(("t2u.", "vocoder."))}

    def part(self, name: str) -> dict[str, Tensor]:
        """Of `t2u` or `vocoder`, by the names within it."""
        start = f"{name}."
        return {n.removeprefix(start): t for n, t in self._weights.items() if n.startswith(start)}
