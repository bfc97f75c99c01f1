"""The vocoder's receptive field, its batches and its durations; equality with transformers is in tests/parity."""

from dataclasses import replace

import pytest
import torch

from seamless_stream.models.seamless_m4t.config import SeamlessM4TConfig
from seamless_stream.models.seamless_m4t.t2u_nar import to_durations, units_per_token
from seamless_stream.models.seamless_m4t.vocoder import Vocoder, reach_units

RELEASED = replace(
    SeamlessM4TConfig(),
    upsample_initial_channel=32,
    unit_hifi_gan_vocab_size=50,
    unit_embed_dim=16,
    lang_embed_dim=4,
    spkr_embed_dim=4,
    vocoder_num_langs=2,
    vocoder_num_spkrs=2,
)
OTHERS = {
    "released": RELEASED,
    "phrasebook": replace(
        RELEASED,
        upsample_rates=(5, 4, 4, 4),
        upsample_kernel_sizes=(11, 8, 8, 8),
        resblock_kernel_sizes=(3, 7),
        resblock_dilation_sizes=((1,), (3,)),
    ),
    "odd": replace(
        RELEASED,
        upsample_rates=(3, 2),
        upsample_kernel_sizes=(8, 5),
        resblock_kernel_sizes=(5,),
        resblock_dilation_sizes=((1, 2),),
    ),
}


def vocoder(config: SeamlessM4TConfig, seed: int = 0) -> Vocoder:
    torch.manual_seed(seed)
    return Vocoder(config).double().eval()


@pytest.mark.parametrize("config", OTHERS.values(), ids=OTHERS.keys())
def test_reach_is_exact(config: SeamlessM4TConfig) -> None:
    """A unit beyond it changes nothing at all; the last one inside does, if by less than float64 shows."""
    reach, rate, model = reach_units(config), config.samples_per_unit, vocoder(config)
    middle = reach + 2
    ids = torch.randint(0, 50, (1, 2 * middle + 1))
    here = slice(middle * rate, (middle + 1) * rate)
    with torch.inference_mode():
        wave = model(ids, 0, 0)[0, here]
        for distance in (-reach - 1, reach + 1):
            other = ids.clone()
            other[0, middle + distance] = (other[0, middle + distance] + 1) % 50
            assert torch.equal(model(other, 0, 0)[0, here], wave)
    embedded = model.units(ids).detach().requires_grad_()
    first = torch.zeros(1, dtype=torch.int64)
    model.generate(embedded, first, first)[0, here].sum().backward()  # type: ignore[no-untyped-call]
    assert embedded.grad is not None
    felt = embedded.grad[0].abs().sum(1) > 0
    assert felt[middle - reach] or felt[middle + reach]
    assert not felt[: middle - reach].any() and not felt[middle + reach + 1 :].any()


@pytest.mark.parametrize("name, units", [("released", 21), ("phrasebook", 7)])
def test_reach_of_known_shapes(name: str, units: int) -> None:
    assert reach_units(OTHERS[name]) == units


@torch.inference_mode()
def test_a_window_with_its_reach_is_the_whole() -> None:
    config = OTHERS["phrasebook"]
    reach, rate, model = reach_units(config), config.samples_per_unit, vocoder(config)
    ids = torch.randint(0, 50, (1, 80))
    whole = model(ids, 1, 1)
    window = model(ids[:, 30 - reach : 50 + reach], 1, 1)
    torch.testing.assert_close(
        window[:, reach * rate : (reach + 20) * rate], whole[:, 30 * rate : 50 * rate], rtol=0, atol=1e-12
    )


@torch.inference_mode()
def test_rows_of_a_batch_are_as_if_alone() -> None:
    model = vocoder(RELEASED)
    ids = torch.randint(0, 50, (3, 7))
    batch = model(ids, 1, 0)
    for row in range(3):
        torch.testing.assert_close(batch[row], model(ids[row : row + 1], 1, 0)[0], rtol=0, atol=1e-12)
    lengths = torch.tensor([7, 4, 0])
    repeats = model.repeats(ids, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = model.repeats(ids[row : row + 1, :length], lengths[row : row + 1]) if length else ids[:0]
        assert repeats[row, :length].tolist() == alone.flatten().tolist()
        assert not repeats[row, length:].any()


def test_durations_follow_the_factor() -> None:
    logs = torch.log1p(torch.tensor([[0.2, 1.0, 4.0, 10.0]]))
    assert to_durations(logs).tolist() == [[1, 1, 4, 10]]
    assert to_durations(logs, 0.78).tolist() == [[1, 1, 3, 8]]


def test_units_of_tokens() -> None:
    """A token without characters (its space went to the punctuation before it) has no units."""
    assert units_per_token([2, 0, 1, 3], [5, 1, 4, 2, 2, 2]) == [6, 0, 4, 6]
    assert units_per_token([], []) == []
