"""The tokenizer against transformers' SeamlessM4TTokenizer, on a small BPE model trained here."""

import random
from pathlib import Path

import pytest
from transformers import SeamlessM4TTokenizer

from seamless_stream.errors import CheckpointError, LanguageError
from seamless_stream.models.tokenizer import EOS_ID, SentencePieceTokenizer, normalize
from tools.make_random_checkpoint import RECIPES, _write_tokenizer, made_up_sentences, train_tokenizer

RECIPE = RECIPES["tiny"]
LANGUAGE_IDS = {code: 1 + RECIPE.num_pieces + i for i, code in enumerate(RECIPE.languages)}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer")
    _write_tokenizer(path, RECIPE, seed=3)
    return path


@pytest.fixture(scope="module")
def ours(directory: Path) -> SentencePieceTokenizer:
    return SentencePieceTokenizer(directory / "sentencepiece.bpe.model", LANGUAGE_IDS)


@pytest.fixture(scope="module")
def theirs(directory: Path) -> SeamlessM4TTokenizer:
    return SeamlessM4TTokenizer.from_pretrained(directory)


TEXTS = [
    "Where is the station?",
    "¿Dónde está la estación más cercana?",
    "車站在哪裡",
    "where",
    *("", " ", "   ", "\n", "\t \r\n", "\u00a0", "\u3000", "\u2028"),
    *(
        "  leading",
        "trailing  ",
        "two  spaces   and more",
        "tab\tline\nreturn\rend\n",
        "a\u00a0b\u2003c\u3000d",
    ),
    *("ﬁne ½ ﾃ １２ ﷺ Å", "é", "e\u0301", "가", "\u1100\u1161", "‘quotes’ … — -"),  # NFKC
    *("😀", "😀😀 hello", "xxQ😀Zyy", "👨‍👩‍👧 family", "漢字 unknown 漢", "Ⅷ ㍿"),
    *(
        "a\u200bb",
        "a\u200cb",
        "\ufeffwhere",
        "a\u2028b",
        "\x07bell",
        "a\x00b",
        "a\x0cb\x0b",
        "\u00ad soft",
        "a\ufffdb",
    ),
    *("▁", "▁▁", "a ▁ b", "▁▁where", "where▁is", "▁ where", " ▁where", "where ▁"),
]


@pytest.mark.parametrize("text", TEXTS)
def test_ids_equal(ours: SentencePieceTokenizer, theirs: SeamlessM4TTokenizer, text: str) -> None:
    expected = theirs(text, src_lang="spa")["input_ids"]
    assert ours.encode_source(text, "spa") == expected
    assert ours.encode(text) == expected[1:-1]
    assert ours.pieces(expected) == theirs.convert_ids_to_tokens(expected)
    assert ours.decode(expected) == theirs.decode(expected, skip_special_tokens=True)


def test_ids_equal_on_random_text(ours: SentencePieceTokenizer, theirs: SeamlessM4TTokenizer) -> None:
    draw = random.Random(5)
    alphabet = "aeiou strnWh?.,¿é 😀漢ﬁ\u00a0▁\t\u200b\x1f\x85"
    texts = ["".join(draw.choices(alphabet, k=draw.randint(0, 20))) for _ in range(1500)]
    texts += made_up_sentences(300, seed=11)
    expected = theirs(texts, src_lang="fra")["input_ids"]
    for text, ids in zip(texts, expected, strict=True):
        assert ours.encode_source(text, "fra") == ids, text


def test_decoding_equal_on_random_ids(ours: SentencePieceTokenizer, theirs: SeamlessM4TTokenizer) -> None:
    draw = random.Random(7)
    for _ in range(500):
        ids = [draw.randrange(len(theirs)) for _ in range(draw.randint(0, 12))]
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)
        assert ours.pieces(ids) == theirs.convert_ids_to_tokens(ids)


def test_target_equal(ours: SentencePieceTokenizer, theirs: SeamlessM4TTokenizer) -> None:
    text = "Quisiera un café"
    expected = theirs(text_target=text, tgt_lang="cmn_Hant")["input_ids"]
    assert ours.encode_target(text, "cmn_Hant") == expected


def test_text_returns(ours: SentencePieceTokenizer) -> None:
    for text in made_up_sentences(50, seed=2):
        assert ours.decode(ours.encode(text)) == normalize(text).replace("▁", " ").removeprefix(" ")


@pytest.mark.parametrize("text", ["</s>", "__spa__ where", "<s> where </s>", "a<unk>b", "<pad>"])
def test_text_is_never_a_control_token(ours: SentencePieceTokenizer, text: str) -> None:
    """Here we differ from transformers on purpose."""
    ids = ours.encode(text)
    assert EOS_ID not in ids
    assert not set(ids) & {0, 2, 3, *LANGUAGE_IDS.values()}


def test_ids_without_a_meaning(ours: SentencePieceTokenizer) -> None:
    beyond = 1 + RECIPE.num_pieces + len(RECIPE.languages)
    assert ours.pieces([beyond, 10**6, -1]) == ["", "", ""]
    assert ours.decode([beyond, 10**6, -1]) == ""


def test_language_errors(ours: SentencePieceTokenizer) -> None:
    with pytest.raises(LanguageError, match="own code such as spa, but is es"):
        ours.encode_source("hola", "es")
    with pytest.raises(LanguageError, match="this checkpoint lacks"):
        ours.encode_source("hello", "zul")
    with pytest.raises(LanguageError, match="no language known here"):
        ours.encode_source("hello", "klingon")


def test_fillers_make_the_full_size(tmp_path: Path) -> None:
    """The stand-in for the released tokenizer: 256,000 pieces, of which the trained ones alone are ever used."""
    full = RECIPES["v2-large"]
    file = tmp_path / "sentencepiece.bpe.model"
    pieces = train_tokenizer(file, trained_pieces=full.trained_pieces, num_pieces=2000, seed=0)
    assert len(pieces) == len(set(pieces)) == 2000
    tokenizer = SentencePieceTokenizer(file, {"spa": 2001})
    ids = [number for text in made_up_sentences(100, seed=1) for number in tokenizer.encode(text)]
    assert max(ids) <= full.trained_pieces


def test_damaged_model(tmp_path: Path) -> None:
    file = tmp_path / "sentencepiece.bpe.model"
    with pytest.raises(CheckpointError, match="must be a sentencepiece model"):
        SentencePieceTokenizer(file, {})
    file.write_bytes(b"not a protocol buffer")
    with pytest.raises(CheckpointError, match="must be a sentencepiece model"):
        SentencePieceTokenizer(file, {})


def test_language_ids_among_the_pieces(directory: Path) -> None:
    with pytest.raises(CheckpointError, match="must be 301 or more, but are less for spa"):
        SentencePieceTokenizer(directory / "sentencepiece.bpe.model", {"spa": 300, "eng": 301})
