"""Reading safetensors and filling modules: against the safetensors library, and with everything that can be wrong."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from seamless_stream.errors import CheckpointError
from seamless_stream.models.tensors import DTYPES, NoInitialValues, TensorFiles, load_parameters, read_header

CPU = torch.device("cpu")


def _tensors(seed: int = 0) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {
        "table.weight": torch.randn(7, 3, generator=draw),
        "head.weight": torch.randn(5, 3, generator=draw),
        "head.bias": torch.randn(5, generator=draw),
        "norm.running_mean": torch.randn(3, generator=draw),
        "norm.num_batches_tracked": torch.tensor(17),
    }


class _Norm(nn.Module):
    running_mean: Tensor
    num_batches_tracked: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(3))
        self.register_buffer("num_batches_tracked", torch.zeros((), dtype=torch.int64))


class _Module(nn.Module):
    def __init__(self, tied: bool = False) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 3)
        self.head = nn.Linear(3, 7 if tied else 5, bias=not tied)
        self.norm = _Norm()
        if tied:
            self.head.weight = self.table.weight


def _meta(tied: bool = False) -> _Module:
    with torch.device("meta"):
        return _Module(tied)


def _save(directory: Path, tensors: dict[str, Tensor]) -> TensorFiles:
    save_file(tensors, directory / "model.safetensors")
    return TensorFiles.open(directory)


def _save_shards(directory: Path, *shards: dict[str, Tensor]) -> None:
    weight_map = {}
    for number, shard in enumerate(shards):
        save_file(shard, directory / f"model-{number}.safetensors")
        weight_map.update(dict.fromkeys(shard, f"model-{number}.safetensors"))
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def _same(name: str) -> str:
    return name


# --- reading


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_every_dtype(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {
        "matrix": torch.arange(24).reshape(4, 6).to(dtype),
        "scalar": torch.tensor(1).to(dtype),
        "empty": torch.zeros(0, 3, dtype=dtype),
    }
    files = _save(tmp_path, tensors)
    for name, tensor in tensors.items():
        read = files.read(name)
        assert read.dtype == dtype
        assert torch.equal(read, tensor)


def test_shards_and_counts(tmp_path: Path) -> None:
    first, second = _tensors(0), {"other": torch.ones(4, dtype=torch.float16)}
    _save_shards(tmp_path, first, second)
    files = TensorFiles.open(tmp_path)
    assert files.infos.keys() == first.keys() | second.keys()
    assert torch.equal(files.read("other"), second["other"])
    assert files.num_parameters == 21 + 15 + 5 + 3 + 1 + 4
    assert files.nbytes == 4 * (21 + 15 + 5 + 3) + 8 + 2 * 4


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        struct.pack("<Q", 1 << 60) + b"{}",
        struct.pack("<Q", 10) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 4) + b"nope",
        struct.pack("<Q", 9) + b'{"a": {}}',
        struct.pack("<Q", 10) + b'{"a": "b"}',
        struct.pack("<Q", 2) + b"{}" + b"more than the header says",
    ],
)
def test_not_safetensors(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors` must"):
        read_header(file)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}, "dtype F8_E4M3, which is not supported"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, "contradicts its dtype and shape"),
        ({"dtype": "I8", "shape": [3], "data_offsets": [1, 4]}, "contradicts its dtype and shape"),
    ],
)
def test_header_that_contradicts_itself(tmp_path: Path, row: dict[str, object], message: str) -> None:
    header = json.dumps({"a": row}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"1234")
    with pytest.raises(CheckpointError, match=message):
        TensorFiles.open(tmp_path)


def test_index_that_contradicts_the_shards(tmp_path: Path) -> None:
    _save_shards(tmp_path, {"a": torch.ones(1)}, {"b": torch.ones(1)})
    index = tmp_path / "model.safetensors.index.json"
    weight_map = {"a": "model-1.safetensors", "b": "model-1.safetensors", "c": "model-0.safetensors"}
    index.write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(CheckpointError, match="disagree about 2: a, c"):
        TensorFiles.open(tmp_path)
    index.write_text(json.dumps({"weight_map": {"a": "../model-0.safetensors"}}))
    with pytest.raises(CheckpointError, match="must hold plain file names"):
        TensorFiles.open(tmp_path)
    index.write_text("{}")
    with pytest.raises(CheckpointError, match="must name the shards"):
        TensorFiles.open(tmp_path)


def test_one_name_in_two_shards(tmp_path: Path) -> None:
    _save_shards(tmp_path, {"a": torch.ones(1), "b": torch.ones(1)}, {"a": torch.ones(1)})
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-0.safetensors", "b": "model-1.safetensors"}}))
    with pytest.raises(CheckpointError, match=r"`a` is both in"):
        TensorFiles.open(tmp_path)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"must hold `model\.safetensors`"):
        TensorFiles.open(tmp_path)
    _save_shards(tmp_path, {"a": torch.ones(1)}, {"b": torch.ones(1)})
    (tmp_path / "model-1.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"must hold `model-1\.safetensors`"):
        TensorFiles.open(tmp_path)


# --- loading


def test_no_initial_values() -> None:
    """In a fresh process: building on the meta device must not import torch's compiler."""
    program = """
import sys, torch
from seamless_stream.models.tensors import NoInitialValues
with NoInitialValues(), torch.device("meta"):
    torch.nn.Embedding(7, 3), torch.nn.Linear(3, 3), torch.nn.Conv1d(3, 3, 3), torch.nn.LayerNorm(3)
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_initial_values_return_afterwards() -> None:
    with NoInitialValues():
        pass
    assert torch.nn.init.constant_(torch.zeros(2), 3.0).tolist() == [3.0, 3.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_fills_parameters_and_buffers(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors, module = _tensors(), _meta()
    load_parameters(module, _save(tmp_path, tensors), _same, dtype=dtype, device=CPU)
    for name, value in module.state_dict().items():
        assert value.dtype == (dtype if tensors[name].is_floating_point() else torch.int64)
        assert torch.equal(value, tensors[name].to(value.dtype))
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_rename_and_skip(tmp_path: Path) -> None:
    tensors, module = _tensors(), _meta()
    theirs = {f"model.{name}": tensor for name, tensor in tensors.items()} | {"vocoder.weight": torch.ones(2)}

    def rename(name: str) -> str | None:
        return None if name.startswith("vocoder.") else name.removeprefix("model.")

    load_parameters(module, _save(tmp_path, theirs), rename, dtype=torch.float32, device=CPU)
    assert torch.equal(module.table.weight, tensors["table.weight"])


def test_one_error_with_everything(tmp_path: Path) -> None:
    tensors = _tensors()
    del tensors["head.bias"], tensors["norm.num_batches_tracked"]
    tensors["table.weight"] = torch.ones(3, 7)
    tensors |= {f"extra.{number}": torch.ones(1) for number in range(30)}
    module = _meta()
    with pytest.raises(CheckpointError) as caught:
        load_parameters(module, _save(tmp_path, tensors), _same, dtype=torch.float32, device=CPU)
    message = str(caught.value)
    assert "missing 2: head.bias, norm.num_batches_tracked;" in message
    assert "unexpected 30: extra.0, extra.1, extra.10" in message
    assert "and 10 more; of the wrong shape 1: table.weight [3, 7] instead of [7, 3]." in message
    assert all(parameter.is_meta for parameter in module.parameters()), "nothing is loaded after an error"


@pytest.mark.parametrize("names", [{"table.weight"}, {"head.weight"}, {"table.weight", "head.weight"}])
def test_tied_names_may_be_absent_or_present(tmp_path: Path, names: set[str]) -> None:
    tensors, module = _tensors(), _meta(tied=True)
    table = tensors["table.weight"]
    del tensors["head.bias"], tensors["head.weight"], tensors["table.weight"]
    tensors |= {name: table.clone() for name in names}
    load_parameters(module, _save(tmp_path, tensors), _same, dtype=torch.bfloat16, device=CPU)
    assert module.head.weight is module.table.weight
    assert torch.equal(module.head.weight, table.bfloat16())


def test_tied_names_that_differ(tmp_path: Path) -> None:
    tensors = _tensors()
    del tensors["head.bias"]
    tensors["head.weight"] = tensors["table.weight"] + 1
    with pytest.raises(
        CheckpointError, match=r"`head\.weight` and `table\.weight` must be equal where weights are tied"
    ):
        load_parameters(_meta(tied=True), _save(tmp_path, tensors), _same, dtype=torch.float32, device=CPU)


def test_buffer_that_no_checkpoint_holds(tmp_path: Path) -> None:
    module = _meta()
    module.register_buffer("positions", torch.zeros(4, device="meta"), persistent=False)
    with pytest.raises(RuntimeError, match="positions"):
        load_parameters(module, _save(tmp_path, _tensors()), _same, dtype=torch.float32, device=CPU)


def test_file_that_shrinks_after_its_header_was_read(tmp_path: Path) -> None:
    files = _save(tmp_path, _tensors())
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(CheckpointError, match="ends within"):
        load_parameters(_meta(), files, _same, dtype=torch.float32, device=CPU)
