"""Each variant's checkpoint, written once."""

from collections.abc import Iterator

import pytest
import torch

from tests.parity import tiny


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Matrices this small are slower with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session", params=enumerate(tiny.VARIANTS), ids=lambda param: param[1].name)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tiny.Pair:
    seed, variant = request.param
    directory = tmp_path_factory.mktemp(variant.name)
    tiny.save(variant, directory, seed)
    return tiny.Pair(variant, directory)
