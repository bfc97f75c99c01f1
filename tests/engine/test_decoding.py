"""Decoding against `generate` of transformers, over a slow twin: its text decoder without any cache."""

import copy
import dataclasses
import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from seamless_stream.engine.decoding import Decoded, Decoding, Sentence, decode
from seamless_stream.errors import ModelError, SettingsError
from seamless_stream.models.base import DecoderStep, EncoderOutput, Prompt
from seamless_stream.models.text_decoder import DecoderConfig, TextDecoder, new_text_decoder
from seamless_stream.nn.state import State
from seamless_stream.nn.transformer import Decoder
from seamless_stream.settings import DecodingSettings

PAD, UNK, EOS, LANG = 0, 1, 3, 5
PROMPT = Prompt(token_ids=(EOS, LANG), eos_id=EOS, pad_id=PAD)
VOCABULARY_SIZE = 48
BEAM_SEEDS = (2, 3, 5, 7)  # sentences of many lengths, and some that do not end


@dataclass(frozen=True, eq=False)
class GrowingState(State):
    """All ids so far, and what the decoder attends to."""

    token_ids: Tensor  # [B, T]
    states: Tensor  # [B, S, D]
    lengths: Tensor  # [B]


class SlowTwin:
    """The text decoder and head of transformers without any cache."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.vocabulary_size = model.config.vocab_size
        self.rows_stepped: list[int] = []

    def init_state(self, encoded: EncoderOutput) -> GrowingState:
        none = torch.empty(len(encoded.lengths), 0, dtype=torch.int64)
        return GrowingState(none, encoded.states, encoded.lengths)

    def step(
        self,
        token_ids: Tensor,
        state: GrowingState,
        *,
        counts: Tensor | None = None,
        num_logits: int = 1,
        with_attention: bool = False,
    ) -> DecoderStep:
        assert counts is None or (counts == token_ids.shape[1]).all()
        self.rows_stepped.append(len(token_ids))
        state = dataclasses.replace(state, token_ids=torch.cat([state.token_ids, token_ids], 1))
        mask = torch.arange(state.states.shape[1])[None] < state.lengths[:, None]
        hidden = self.model.text_decoder(
            input_ids=state.token_ids,
            encoder_hidden_states=state.states,
            encoder_attention_mask=mask.long(),
            use_cache=False,
        ).last_hidden_state[:, -token_ids.shape[1] :]
        return DecoderStep(self.model.lm_head(hidden[:, -num_logits:]), hidden, state)


@cache
def tiny_model(seed: int, eos_boost: float = 2.0) -> Any:
    """A random text-to-text model with varied answers; `eos_boost` decides how soon they end. Change copies only."""
    from transformers import SeamlessM4Tv2Config, SeamlessM4Tv2ForTextToText

    torch.manual_seed(seed)
    config = SeamlessM4Tv2Config(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=16,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        tie_word_embeddings=False,
        attn_implementation="sdpa",
    )
    model = SeamlessM4Tv2ForTextToText(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.normal_(0, 0.2 if "lm_head" in name else 0.4)
        model.lm_head.weight[EOS] *= eos_boost
        model.lm_head.weight[PAD] = 0  # a pad inside an answer would shift the positions after it
    model.generation_config.text_decoder_lang_to_code_id = {"xxx": LANG}
    return model


def sources(seed: int, lengths: tuple[int, ...] = (7, 4, 9, 2, 6)) -> tuple[Tensor, Tensor]:
    """Ids [B, S] padded on the right, and lengths [B]."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(6, VOCABULARY_SIZE, (len(lengths), max(lengths)), generator=generator)
    valid = torch.tensor(lengths)
    return ids.masked_fill(torch.arange(max(lengths))[None] >= valid[:, None], PAD), valid


@torch.inference_mode()
def encode(model: Any, ids: Tensor, lengths: Tensor) -> EncoderOutput:
    mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).long()
    return EncoderOutput(model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state, lengths)


def reference(model: Any, ids: Tensor, lengths: Tensor, **options: Any) -> Any:
    mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).long()
    return model.generate(
        input_ids=ids,
        attention_mask=mask,
        tgt_lang="xxx",
        use_cache=False,
        do_sample=False,
        early_stopping=False,
        return_dict_in_generate=True,
        output_scores=True,
        **options,
    )


def trimmed(sequence: Tensor, max_new_tokens: int) -> tuple[list[int], bool]:
    """A row of `generate`: ids without final eos and padding, and whether an eos was there."""
    ids = sequence.tolist()
    free = ids[2 : 2 + max_new_tokens]
    if EOS in free:
        return ids[:2] + free[: free.index(EOS)], True
    return ids[:2] + free, False


def compare(model: Any, seed: int, settings: DecodingSettings, **options: Any) -> list[Decoded]:
    ids, lengths = sources(seed)
    ours = decode(SlowTwin(model), encode(model, ids, lengths), PROMPT, settings)
    theirs = reference(model, ids, lengths, max_new_tokens=settings.max_new_tokens, **options)
    for row, decoded in enumerate(ours):
        expected = trimmed(theirs.sequences[row], settings.max_new_tokens)
        assert (decoded.token_ids, decoded.finished) == expected
        check_hidden(model, ids[row : row + 1], lengths[row : row + 1], decoded)
    if settings.beams > 1:
        scores = torch.tensor([d.score for d in ours])
        torch.testing.assert_close(scores, theirs.sequences_scores, rtol=0, atol=1e-5)
    return ours


@torch.inference_mode()
def check_hidden(model: Any, ids: Tensor, lengths: Tensor, decoded: Decoded) -> None:
    """Hidden states kept along the way must be those of one pass over the answer."""
    encoded = encode(model, ids[:, : int(lengths)], lengths)
    expected = model.text_decoder(
        input_ids=torch.tensor([decoded.token_ids]), encoder_hidden_states=encoded.states, use_cache=False
    ).last_hidden_state[0]
    torch.testing.assert_close(decoded.hidden, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("seed", range(8))
def test_greedy_is_generate(seed: int) -> None:
    model = tiny_model(seed)
    compare(model, seed, DecodingSettings(max_new_tokens=12), num_beams=1)


@pytest.mark.parametrize("length_penalty", [-0.7, 0.0, 1.0, 2.5])
@pytest.mark.parametrize("seed", BEAM_SEEDS)
def test_beam_search_is_generate(seed: int, length_penalty: float) -> None:
    model = tiny_model(seed, eos_boost=1.5 + seed / 5)
    settings = DecodingSettings(beams=5, length_penalty=length_penalty, max_new_tokens=14)
    compare(model, seed, settings, num_beams=5, length_penalty=length_penalty)


@pytest.mark.parametrize("beams", [1, 2, 5])
@pytest.mark.parametrize("seed", range(4))
def test_filters_are_those_of_generate(seed: int, beams: int) -> None:
    model = tiny_model(seed)
    settings = DecodingSettings(beams=beams, max_new_tokens=16, min_new_tokens=4, no_repeat_ngram=2)
    options = {"num_beams": beams, "min_new_tokens": 4, "no_repeat_ngram_size": 2}
    for decoded in compare(model, seed, settings, **options):
        pairs = list(zip(decoded.token_ids, decoded.token_ids[1:], strict=False))
        assert len(pairs) == len(set(pairs))
        assert len(decoded.token_ids) >= 2 + 4 or not decoded.finished


def test_both_endings_are_seen() -> None:
    """The comparisons above mean little if no sentence ends, or if all do."""
    finished = set()
    for seed in BEAM_SEEDS:
        model = tiny_model(seed, eos_boost=1.5 + seed / 5)
        settings = DecodingSettings(beams=5, max_new_tokens=14)
        ids, lengths = sources(seed)
        answers = decode(SlowTwin(model), encode(model, ids, lengths), PROMPT, settings)
        finished |= {(d.finished, len(d.token_ids)) for d in answers}
    assert {ended for ended, _ in finished} == {True, False}
    assert len({length for ended, length in finished if ended}) >= 5


@pytest.mark.parametrize("beams", [1, 4])
def test_equal_logits_are_broken_as_generate_does(beams: int) -> None:
    """Every token has an exact twin with the same head row, so that each choice is a tie."""
    for seed in range(6):
        model = copy.deepcopy(tiny_model(seed))
        with torch.no_grad():
            model.lm_head.weight[28:] = model.lm_head.weight[8:28]
        settings = DecodingSettings(beams=beams, max_new_tokens=10)
        compare(model, seed, settings, num_beams=beams)


@pytest.mark.parametrize("beams", [1, 5])
def test_neighbours_do_not_change_a_sentence(beams: int) -> None:
    model = copy.deepcopy(tiny_model(5)).double()
    ids, lengths = sources(11, (7, 4, 9, 2, 6, 5))
    encoded = encode(model, ids, lengths)
    settings = DecodingSettings(beams=beams, max_new_tokens=20)
    together = decode(SlowTwin(model), encoded, PROMPT, settings)
    assert len({len(d.token_ids) for d in together}) > 1  # they do not all end at once
    for row, decoded in enumerate(together):
        alone = decode(SlowTwin(model), encoded.reorder(torch.tensor([row])), PROMPT, settings)[0]
        assert alone.token_ids == decoded.token_ids
        assert alone.score == pytest.approx(decoded.score, abs=1e-6)
        torch.testing.assert_close(alone.hidden, decoded.hidden, rtol=0, atol=1e-12)


def test_a_cut_sentence_keeps_its_text_and_hidden_states() -> None:
    model = tiny_model(0, eos_boost=0.0)
    ids, lengths = sources(0)
    for beams in (1, 3):
        for max_new_tokens in (1, 5):
            settings = DecodingSettings(beams=beams, max_new_tokens=max_new_tokens)
            for row, decoded in enumerate(
                decode(SlowTwin(model), encode(model, ids, lengths), PROMPT, settings)
            ):
                assert not decoded.finished
                assert len(decoded.token_ids) == 2 + max_new_tokens == len(decoded.hidden)
                check_hidden(model, ids[row : row + 1], lengths[row : row + 1], decoded)


# --- with a decoder that is only a table -----------------------------------------------------------


@dataclass(frozen=True, eq=False)
class TableState(State):
    """What a row has consumed, as a number that depends on every token and on its order."""

    digest: Tensor  # [B]
    sentence: Tensor  # [B]


class TableDecoder:
    """Logits by (sentence, last token); hidden states tell the whole history of their row."""

    def __init__(self, table: Tensor) -> None:
        self.table = table  # [sentences, V, V]
        self.vocabulary_size = table.shape[1]
        self.num_rows: list[int] = []

    def init_state(self, encoded: EncoderOutput) -> TableState:
        number = torch.arange(len(encoded.lengths))
        return TableState(number.double(), number)

    def step(
        self,
        token_ids: Tensor,
        state: TableState,
        *,
        counts: Tensor | None = None,
        num_logits: int = 1,
        with_attention: bool = False,
    ) -> DecoderStep:
        assert counts is None or (counts == token_ids.shape[1]).all()
        self.num_rows.append(len(token_ids))
        digests, digest = [], state.digest
        for column in token_ids.T:
            digest = digest * 1.5 + column
            digests.append(digest)
        hidden = torch.stack(digests, 1)[:, :, None]  # [B, T, 1]
        logits = self.table[state.sentence[:, None], token_ids]  # [B, T, V]
        return DecoderStep(logits, hidden, dataclasses.replace(state, digest=digest))


def table_input(num_sentences: int) -> EncoderOutput:
    return EncoderOutput(torch.zeros(num_sentences, 1, 1), torch.ones(num_sentences, dtype=torch.int64))


def digest(sentence: int, token_ids: list[int]) -> list[float]:
    value, values = float(sentence), []
    for token in token_ids:
        value = value * 1.5 + token
        values.append(value)
    return values


@pytest.mark.parametrize(
    "settings", [DecodingSettings(), DecodingSettings(beams=4), DecodingSettings(sample=True)]
)
def test_hidden_states_follow_the_rows(settings: DecodingSettings) -> None:
    """The state is reordered with the beams: each hidden state must come from the answer's own history."""
    table = torch.randn(5, 20, 20, generator=torch.Generator().manual_seed(4)) * 2
    settings = dataclasses.replace(settings, max_new_tokens=15)
    decoder = TableDecoder(table)
    answers = decode(decoder, table_input(5), PROMPT, settings)
    for sentence, decoded in enumerate(answers):
        assert decoded.hidden[:, 0].tolist() == digest(sentence, decoded.token_ids)
    assert decoder.num_rows[0] == 5  # the prompt is read once a sentence, not once a beam
    assert max(decoder.num_rows) <= 5 * settings.beams


def test_finished_sentences_leave_the_batch() -> None:
    table = torch.full((2, 8, 8), -10.0)
    table[0, :, EOS] = 0  # ends at once
    table[1, :, 6] = 0  # never ends
    decoder = TableDecoder(table)
    first, second = decode(decoder, table_input(2), PROMPT, DecodingSettings(max_new_tokens=4))
    assert first.token_ids == [EOS, LANG] and first.finished
    assert second.token_ids == [EOS, LANG, 6, 6, 6, 6] and not second.finished
    assert decoder.num_rows == [2, 1, 1, 1, 1]  # the last one gives the hidden state of the cut's last token


def test_the_state_is_left_alone_while_rows_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    reorders: list[list[int]] = []
    original = TableState.reorder

    def counting(self: TableState, rows: Tensor) -> TableState:
        reorders.append(rows.tolist())
        return original(self, rows)

    monkeypatch.setattr(TableState, "reorder", counting)
    table = torch.full((2, 8, 8), -10.0)
    table[:, :, 6] = 0
    decode(TableDecoder(table), table_input(2), PROMPT, DecodingSettings(max_new_tokens=4))
    assert reorders == []


def sample_first_tokens(settings: DecodingSettings, logits: Tensor, count: int) -> Tensor:
    """Frequencies [V] of the first free token over `count` seeds."""
    table = logits.expand(1, len(logits), -1)
    counts = torch.zeros(len(logits))
    for seed in range(count):
        run = dataclasses.replace(settings, sample=True, seed=seed, max_new_tokens=1)
        decoded = decode(TableDecoder(table), table_input(1), PROMPT, run)[0]
        counts[decoded.token_ids[2] if not decoded.finished else EOS] += 1
    return counts / count


@pytest.mark.parametrize(
    "settings, keep",
    [
        (DecodingSettings(), 8),
        (DecodingSettings(temperature=0.5), 8),
        (DecodingSettings(temperature=2.0, top_k=3), 3),
        (DecodingSettings(top_p=0.6), 2),
    ],
)
def test_sampling_has_the_right_distribution(settings: DecodingSettings, keep: int) -> None:
    probabilities = torch.tensor([0.01, 0.05, 0.3, 0.02, 0.4, 0.1, 0.05, 0.07])
    expected = probabilities ** (1 / settings.temperature)
    expected[expected.argsort(descending=True)[keep:]] = 0
    expected /= expected.sum()
    count = 800
    seen = sample_first_tokens(settings, probabilities.log(), count)
    assert (seen[expected == 0] == 0).all()
    spread = (expected * (1 - expected) / count).sqrt()  # standard error of each frequency
    assert ((seen - expected).abs() <= 4 * spread + 1e-9).all()


def test_a_seed_gives_one_answer_in_any_batch() -> None:
    table = torch.randn(3, 20, 20, generator=torch.Generator().manual_seed(1))
    settings = DecodingSettings(sample=True, seed=7, max_new_tokens=12)
    decoder = TableDecoder(table)
    together = [d.token_ids for d in decode(decoder, table_input(3), PROMPT, settings)]
    assert together == [d.token_ids for d in decode(decoder, table_input(3), PROMPT, settings)]
    alone = decode(TableDecoder(table[1:2]), table_input(1), PROMPT, settings)[0]
    assert alone.token_ids == together[1]
    other = dataclasses.replace(settings, seed=8)
    assert together != [d.token_ids for d in decode(decoder, table_input(3), PROMPT, other)]
    free = dataclasses.replace(settings, seed=None)
    answers = {tuple(decode(decoder, table_input(3), PROMPT, free)[0].token_ids) for _ in range(5)}
    assert len(answers) > 1


def test_the_score_is_the_mean_log_probability() -> None:
    table = torch.full((1, 8, 8), -60.0)
    table[0, LANG, 6] = math.log(0.5)
    table[0, LANG, 7] = math.log(0.5)
    table[0, 6, EOS] = math.log(0.25)
    table[0, 6, 7] = math.log(0.75)
    table[0, 7, EOS] = 0.0
    greedy = decode(TableDecoder(table), table_input(1), PROMPT, DecodingSettings())[0]
    assert greedy.token_ids == [EOS, LANG, 6, 7]
    assert greedy.score == pytest.approx((math.log(0.5) + math.log(0.75)) / 3)
    beam = decode(TableDecoder(table), table_input(1), PROMPT, DecodingSettings(beams=2, length_penalty=0.0))[
        0
    ]
    assert beam.token_ids == [EOS, LANG, 7]
    assert beam.score == pytest.approx(math.log(0.5))


def test_nan_logits_are_an_error() -> None:
    table = torch.full((1, 16, 16), math.nan)
    for beams in (1, 3):
        with pytest.raises(ModelError, match="NaN"):
            decode(TableDecoder(table), table_input(1), PROMPT, DecodingSettings(beams=beams))


def test_settings_list_all_problems() -> None:
    with pytest.raises(SettingsError) as caught:
        DecodingSettings(beams=0, temperature=0.0, top_p=1.5, min_new_tokens=9, max_new_tokens=3, seed=-1)
    message = str(caught.value)
    for name in ("beams", "temperature", "top_p", "min_new_tokens", "seed"):
        assert f"`{name}` must be" in message
    assert "`top_k`" not in message
    for name, value in (
        ("length_penalty", 400.0),
        ("length_penalty", -12.0),
        ("no_repeat_ngram", 1),
        ("seed", 2**64),
    ):
        with pytest.raises(SettingsError, match=f"`{name}` must be"):
            DecodingSettings(**{name: value})  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="`beams` must be 1 when `sample` is on, but is 3."):
        DecodingSettings(beams=3, sample=True)
    with pytest.raises(SettingsError, match="`beams` must be at most 8"):
        decode(TableDecoder(torch.zeros(1, 16, 16)), table_input(1), PROMPT, DecodingSettings(beams=9))


class Counting(TextDecoder):
    """How often it was called."""

    calls = 0

    def step(self, *args: Any, **options: Any) -> DecoderStep:
        self.calls += 1
        return super().step(*args, **options)


def counting_decoder() -> Counting:
    torch.manual_seed(5)
    config = DecoderConfig(
        vocab_size=VOCABULARY_SIZE,
        d_model=16,
        decoder_layers=2,
        decoder_ffn_dim=32,
        decoder_attention_heads=2,
    )
    decoder = new_text_decoder(config, Decoder).eval()
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    decoder.__class__ = Counting
    assert isinstance(decoder, Counting)
    return decoder


@torch.inference_mode()
def decoded_with_drafts(
    decoder: TextDecoder, encoded: EncoderOutput, settings: DecodingSettings, drafts: list[tuple[int, ...]]
) -> list[Decoded]:
    sentences = [Sentence(PROMPT, settings, draft=draft) for draft in drafts]
    decoding = Decoding(decoder)
    decoding.add(sentences, encoded)
    while len(decoding):
        decoding.step()
    return [sentence.result() for sentence in sentences]


@pytest.mark.parametrize("beams", [1, 3])
def test_a_draft_changes_nothing_but_the_time(beams: int) -> None:
    decoder = counting_decoder()
    torch.manual_seed(1)
    encoded = EncoderOutput(torch.randn(6, 7, 16) * 3, torch.tensor([7, 5, 7, 3, 6, 7]))
    settings = DecodingSettings(beams=beams, max_new_tokens=12, no_repeat_ngram=3)
    plain = decode(decoder, encoded, PROMPT, settings)
    answers = [tuple(row.token_ids[len(PROMPT.token_ids) :]) for row in plain]
    assert min(map(len, answers)) > 4 and len(set(answers)) == 6
    wrong = VOCABULARY_SIZE - 1
    # None, all, a beginning, one that goes wrong, one that is wrong at once, and one that goes on for too long.
    drafts = [
        (),
        answers[1],
        answers[2][:3],
        (*answers[3][:2], wrong, wrong),
        (wrong,) * 9,
        answers[5] + (7, 7),
    ]
    assert wrong not in (answers[3][2], answers[4][0])
    drafted = decoded_with_drafts(decoder, encoded, settings, drafts)
    for one, other in zip(plain, drafted, strict=True):
        assert one.token_ids == other.token_ids and one.finished == other.finished
        assert one.score == pytest.approx(other.score, abs=1e-5)
        torch.testing.assert_close(one.hidden, other.hidden, rtol=0, atol=1e-4)


def test_what_was_foreseen_is_read_in_one_pass() -> None:
    decoder = counting_decoder()
    torch.manual_seed(1)
    encoded = EncoderOutput(torch.randn(1, 7, 16) * 3, torch.tensor([7]))
    settings = DecodingSettings(max_new_tokens=12)
    [plain] = decode(decoder, encoded, PROMPT, settings)
    slow, decoder.calls = decoder.calls, 0
    draft = tuple(plain.token_ids[len(PROMPT.token_ids) :])
    [drafted] = decoded_with_drafts(decoder, encoded, settings, [draft])
    assert drafted.token_ids == plain.token_ids
    assert decoder.calls == 1 and slow == len(draft) + 1
