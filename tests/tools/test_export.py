"""What leaves the work folder as a checkpoint."""

import random
from pathlib import Path

import torch

from seamless_stream.models.checkpoint import PHRASEBOOK_DIRECTORY, resolve
from seamless_stream.models.seamless_m4t.model import capabilities
from tools.phrasebook.earlier import Earlier
from tools.phrasebook.export import SPEAKERS, with_one_voice, write
from tools.phrasebook.recipe import CONFIG, LANGUAGES, Text
from tools.phrasebook.run_log import LOG_FILE, note_start
from tools.phrasebook.train import make_tokenizer
from tools.phrasebook.trainer import Trainer


def test_only_the_voice_that_was_learnt_leaves() -> None:
    learnt = torch.randn(2, 16)
    config, tensors = with_one_voice(CONFIG, {SPEAKERS: learnt, "other": torch.zeros(3)})
    assert config.vocoder_num_spkrs == 1
    assert torch.equal(tensors[SPEAKERS], learnt[:1]) and set(tensors) == {SPEAKERS, "other"}


def test_the_main_network_alone_is_a_checkpoint_that_training_goes_on_from(tmp_path: Path) -> None:
    folder = tmp_path / "main"
    folder.mkdir()
    words = ["".join(random.Random(i).choices("bcdéfgühijß", k=8)) for i in range(600)]
    texts = [{"text": {"eng": "A.", "spa": "A.", "fra": word, "deu": word}} for word in words]
    make_tokenizer(folder / "sentencepiece.bpe.model", texts, Earlier(PHRASEBOOK_DIRECTORY))
    trainer = Trainer(Text(folder / "sentencepiece.bpe.model"), torch.device("cpu"))
    trainer.save(folder)
    (folder / LOG_FILE).write_text("step,seconds\n10,60\n")
    note_start(folder, 0, {"rate": 1.0}, "a GPU")
    write(tmp_path / "begun", tmp_path, text_only=True)
    assert capabilities(resolve(str(tmp_path / "begun"))).tasks == {"asr", "s2tt", "t2tt"}
    again = Earlier(tmp_path / "begun")
    assert again.languages == list(LANGUAGES) and again.runs[-1]["steps"] == 10
    assert again.main().keys() == trainer.average.keys()
    for name, value in again.main().items():
        assert torch.equal(value, trainer.average[name].half().float())
