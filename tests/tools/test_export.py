"""What leaves the work folder as a checkpoint."""

import torch

from tools.phrasebook.export import SPEAKERS, with_one_voice
from tools.phrasebook.recipe import CONFIG


def test_only_the_voice_that_was_learnt_leaves() -> None:
    learnt = torch.randn(2, 16)
    config, tensors = with_one_voice(CONFIG, {SPEAKERS: learnt, "other": torch.zeros(3)})
    assert config.vocoder_num_spkrs == 1
    assert torch.equal(tensors[SPEAKERS], learnt[:1]) and set(tensors) == {SPEAKERS, "other"}
