"""Which tokens begin a word: in Speech2Text2 the token before says it, elsewhere the token itself."""

import json
from collections import deque
from pathlib import Path

import pytest
import torch

from seamless_stream.engine.policy import policy_for
from seamless_stream.engine.segment import Line, LineWatcher, Segment, inside_word
from seamless_stream.models.base import EncoderOutput, Prompt
from seamless_stream.models.speech_to_text_2.tokenizer import SpeechToText2Tokenizer
from seamless_stream.settings import PolicySettings

PIECES = ["<s>", "<pad>", "</s>", "<unk>", "der", "hun@@", "und", "d", "ist"]
DER, HUN, UND, D, IST = range(4, 9)


@pytest.fixture
def tokenizer(tmp_path: Path) -> SpeechToText2Tokenizer:
    path = tmp_path / "vocab.json"
    path.write_text(json.dumps({piece: number for number, piece in enumerate(PIECES)}))
    return SpeechToText2Tokenizer(path, None)


def test_any_piece_of_speech_to_text_2_may_begin_a_word(tokenizer: SpeechToText2Tokenizer) -> None:
    assert not inside_word(tokenizer, len(PIECES)).any()


def test_half_a_word_is_not_committed(tokenizer: SpeechToText2Tokenizer) -> None:
    policy = policy_for(PolicySettings("hold-n", hold_n=2), 160)
    line = Line("deu", Prompt((2,), 2, 1))
    encoded = EncoderOutput(torch.zeros(1, 20, 4), torch.tensor([20]))
    watcher = LineWatcher(line, Segment(0, 0, [line]), policy, tokenizer, encoded)
    grown = [
        watcher.hypothesis(tokens, [], 0.0, is_complete=False) for tokens in ([DER, HUN], [DER, HUN, D, IST])
    ]
    assert [hypothesis.starts_word for hypothesis in grown] == [(True, True), (True, True, False, True)]
    verdict = policy.judge(deque(grown[-1:]), False)
    assert tokenizer.decode(list(grown[-1].token_ids[: verdict.num_tokens])) == "der"


def test_no_mark_of_a_word_that_goes_on_is_shown(tokenizer: SpeechToText2Tokenizer) -> None:
    assert [tokenizer.decode([DER, HUN][:count]) for count in (1, 2)] == ["der", "der hun"]
    assert tokenizer.decode([DER, HUN, D, UND]) == "der hund und"
