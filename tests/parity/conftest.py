"""Each variant's checkpoint, written once."""

import pytest

from tests.parity import tiny


@pytest.fixture(scope="session", params=enumerate(tiny.VARIANTS), ids=lambda param: param[1].name)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tiny.Pair:
    seed, variant = request.param
    directory = tmp_path_factory.mktemp(variant.name)
    tiny.save(variant, directory, seed)
    return tiny.Pair(variant, directory)
