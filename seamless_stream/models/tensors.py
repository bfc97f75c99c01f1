"""Tensors of a checkpoint on disk, and how they become the parameters of a module.

Knows the safetensors format, shards and their index, the one pickle that older checkpoints are, and that a
tensor is read straight into its parameter, so that no second copy of the weights ever exists. It does not know
families: names are translated by the caller's `rename`.
"""

import hashlib
import json
import math
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seamless_stream.errors import CheckpointError

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
PICKLE_FILE = "pytorch_model.bin"  # before safetensors; read with torch's own restricted unpickler only
MAX_LISTED = 20  # names of one kind that an error message spells out
MAX_HEADER_BYTES = 100_000_000  # the format's own limit
FINGERPRINT_PIECES, FINGERPRINT_BYTES = 64, 4096  # of each file
COMPARED_ELEMENTS = 1 << 22  # at once, where a file holds one tensor twice

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class TensorInfo:
    """What a header says of one tensor; `offset` counts bytes from the start of the file."""

    file: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    offset: int

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(file: Path) -> dict[str, TensorInfo]:
    """The tensors of one safetensors file, from its header alone.

    Raises:
        CheckpointError: not a safetensors file, cut short, or a header that contradicts the file's length.
    """
    try:
        with file.open("rb") as stream:
            size = file.stat().st_size
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
                raise CheckpointError(
                    f"`{file}` must be a safetensors file, but its header length is {length} bytes."
                )
            header = json.loads(stream.read(length))
        return _check_header(file, header, first=8 + length, size=size)
    except OSError as error:
        raise CheckpointError(f"`{file}` cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"`{file}` must be a safetensors file, but its header is damaged: {error!r}."
        ) from error


def _check_header(file: Path, header: dict[str, Any], first: int, size: int) -> dict[str, TensorInfo]:
    infos = {}
    end = first  # where the next tensor must start: the format allows neither gaps nor overlaps
    rows = [(name, row) for name, row in header.items() if name != "__metadata__"]
    for name, row in sorted(rows, key=lambda item: tuple(item[1]["data_offsets"])):
        if row["dtype"] not in DTYPES:
            raise CheckpointError(f"`{name}` in `{file}` has dtype {row['dtype']}, which is not supported.")
        start, stop = (first + offset for offset in row["data_offsets"])
        infos[name] = TensorInfo(file, DTYPES[row["dtype"]], tuple(row["shape"]), start)
        if start != end or stop != start + infos[name].nbytes:
            raise CheckpointError(f"`{name}` in `{file}` has a place that contradicts its dtype and shape.")
        end = stop
    if end != size:
        raise CheckpointError(f"`{file}` must have {end} bytes as its header says, but has {size}.")
    return infos


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object; raises CheckpointError where there is none."""
    try:
        value = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(f"`{file.parent}` must hold `{file.name}`, but does not.") from error
    except OSError as error:
        raise CheckpointError(f"`{file}` cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise CheckpointError(f"`{file}` must be JSON, but is not: {error}.") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"`{file}` must hold a JSON object, but holds a {type(value).__name__}.")
    return value


def read_ids(file: Path) -> dict[str, int]:
    """A JSON object of whole numbers, such as a vocabulary; raises CheckpointError."""
    table = read_json(file)
    wrong = next((name for name, number in table.items() if not isinstance(number, int) or number < 0), None)
    if wrong is not None:
        raise CheckpointError(f"`{file}` must number its pieces, but has {table[wrong]!r} for {wrong!r}.")
    return table


def shard_files(directory: Path) -> list[Path]:
    """The weight files that a checkpoint directory must hold, whether or not they are there."""
    if not (directory / INDEX_FILE).exists():
        is_pickle = (directory / PICKLE_FILE).exists() and not (directory / SINGLE_FILE).exists()
        return [directory / (PICKLE_FILE if is_pickle else SINGLE_FILE)]
    weight_map = read_json(directory / INDEX_FILE).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(
            f"`weight_map` in `{directory / INDEX_FILE}` must name the shards, but does not."
        )
    names = {str(name) for name in weight_map.values()}
    if any(Path(name).name != name for name in names):  # an index must not point outside its directory
        raise CheckpointError(
            f"`weight_map` in `{directory / INDEX_FILE}` must hold plain file names, but does not."
        )
    return [directory / name for name in sorted(names)]


def fingerprint(files: Sequence[Path]) -> str:
    """16 hexadecimal digits that change with the weights: of sizes and of pieces from all over the files, so that
    gigabytes need no seconds."""
    digest = hashlib.sha256()
    for file in files:
        num_bytes = file.stat().st_size
        digest.update(num_bytes.to_bytes(8, "little"))
        with file.open("rb") as stream:
            for number in range(FINGERPRINT_PIECES):
                stream.seek(num_bytes * number // FINGERPRINT_PIECES)
                digest.update(stream.read(FINGERPRINT_BYTES))
    return digest.hexdigest()[:16]


class TensorFiles:
    """The tensors of a checkpoint, single or sharded: all headers, no data until `read`."""

    def __init__(self, infos: dict[str, TensorInfo]) -> None:
        self.infos = infos

    @classmethod
    def open(cls, directory: Path) -> "TensorFiles":
        """Read the headers of `model.safetensors` or of all shards that the index names, else `pytorch_model.bin`.

        Raises:
            CheckpointError: a file is missing or damaged, or headers and index disagree.
        """
        infos: dict[str, TensorInfo] = {}
        for file in shard_files(directory):
            if file.name == PICKLE_FILE:
                return PickledTensors.load(file)
            if not file.exists():
                raise CheckpointError(f"`{directory}` must hold `{file.name}`, but does not.")
            for name, info in read_header(file).items():
                if name in infos:
                    raise CheckpointError(
                        f"`{name}` is both in `{infos[name].file.name}` and in `{file.name}`."
                    )
                infos[name] = info
        if (directory / INDEX_FILE).exists():
            said = read_json(directory / INDEX_FILE)["weight_map"]
            wrong = {name for name in said.keys() | infos.keys() if _file_name(infos, name) != said.get(name)}
            if wrong:
                raise CheckpointError(
                    f"`{directory / INDEX_FILE}` and the shards disagree about{_abridged(wrong)}."
                )
        return cls(infos)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors on disk."""
        return sum(info.nbytes for info in self.infos.values())

    @property
    def num_parameters(self) -> int:
        """Elements of all tensors."""
        return sum(math.prod(info.shape) for info in self.infos.values())

    def read(self, name: str) -> Tensor:
        """One tensor, in the file's dtype, on the CPU, in memory of its own."""
        info = self.infos[name]
        tensor = torch.empty(info.shape, dtype=info.dtype)
        # Not through a memory map: mapped pages count as this process's memory as long as the map lives.
        into: memoryview = tensor.reshape(-1).view(torch.uint8).numpy().data
        with info.file.open("rb", buffering=0) as stream:
            stream.seek(info.offset)
            done = 0
            while done < info.nbytes:  # one call gives 2 GiB at most
                count = stream.readinto(into[done:])
                if not count:
                    raise CheckpointError(f"`{info.file}` ends within `{name}`.")
                done += count
        return tensor


class PickledTensors(TensorFiles):
    """The tensors of a `pytorch_model.bin`, mapped into memory where its format allows."""

    def __init__(self, file: Path, tensors: dict[str, Tensor]) -> None:
        rows = enumerate(tensors.items())
        super().__init__({n: TensorInfo(file, t.dtype, tuple(t.shape), place) for place, (n, t) in rows})
        self._tensors = tensors

    @classmethod
    def load(cls, file: Path) -> Self:
        """Tensors and nothing else are unpickled; raises CheckpointError."""
        try:
            loaded = torch.load(file, map_location="cpu", weights_only=True, mmap=_is_zip(file))
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            reason = str(error).partition("\n")[0]
            raise CheckpointError(f"`{file}` must hold tensors and nothing else: {reason}.") from error
        is_table = isinstance(loaded, dict) and all(isinstance(value, Tensor) for value in loaded.values())
        if not is_table:
            raise CheckpointError(f"`{file}` must hold a table of tensors, but holds something else.")
        return cls(file, loaded)

    def read(self, name: str) -> Tensor:
        """One tensor, in the file's dtype, on the CPU, in memory of its own."""
        return self._tensors[name].clone(memory_format=torch.contiguous_format)


def _is_zip(file: Path) -> bool:
    """Torch's format since 1.6; the older one cannot be mapped."""
    with file.open("rb") as stream:
        return stream.read(2) == b"PK"


def _file_name(infos: dict[str, TensorInfo], name: str) -> str | None:
    return infos[name].file.name if name in infos else None


def _abridged(names: set[str]) -> str:
    """` 3: a, b, c`, of which at most `MAX_LISTED` are spelled out."""
    listed = ", ".join(sorted(names)[:MAX_LISTED])
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return f" {len(names)}: {listed}{more}"


@dataclass(frozen=True)
class _Plan:
    """Which tensors of the file fill which slot; several where the file holds one tensor twice."""

    sources: dict[str, list[str]]
    problems: list[str]


def _slots(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name; a shared parameter is there under each of its names."""
    return dict(module.state_dict(keep_vars=True))


def _fits(shape: tuple[int, ...], slot: tuple[int, ...]) -> bool:
    """Equal, or a convolution of width 1 in the file that is a matrix product here."""
    return shape in (slot, (*slot, 1))


def _plan(slots: dict[str, Tensor], files: TensorFiles, rename: Callable[[str], str | None]) -> _Plan:
    first_name = {id(tensor): name for name, tensor in reversed(slots.items())}
    sources: dict[str, list[str]] = {}
    unexpected = set()
    for name in files.infos:
        slot = rename(name)
        if slot in slots:
            sources.setdefault(first_name[id(slots[slot])], []).append(name)
        elif slot is not None:
            unexpected.add(name)
    misshapen = {
        f"{name} {list(files.infos[name].shape)} instead of {list(slots[slot].shape)}"
        for slot, names in sources.items()
        for name in names
        if not _fits(files.infos[name].shape, tuple(slots[slot].shape))
    }
    missing = set(first_name.values()) - sources.keys()
    kinds = (("missing", missing), ("unexpected", unexpected), ("of the wrong shape", misshapen))
    return _Plan(sources, [f"{kind}{_abridged(names)}" for kind, names in kinds if names])


def _assign(module: nn.Module, name: str, value: Tensor | nn.Parameter) -> None:
    path, _, leaf = name.rpartition(".")
    owner = module.get_submodule(path)
    if isinstance(value, nn.Parameter):
        owner.register_parameter(leaf, value)
    else:
        owner.register_buffer(leaf, value)


def _converted(tensor: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    return tensor.to(device, dtype if tensor.is_floating_point() else None)


def _chunks(tensor: Tensor) -> tuple[Tensor, ...]:
    return torch.split(tensor.reshape(-1), COMPARED_ELEMENTS)


def _same(loaded: Tensor, other: Tensor) -> bool:
    pairs = zip(_chunks(loaded), _chunks(other), strict=True)
    return all(torch.equal(left, _converted(right, left.dtype, left.device)) for left, right in pairs)


class NoInitialValues(TorchFunctionMode):
    """While this context is open, `torch.nn.init` does nothing: for modules whose values come from a file.

    More than thrift: on the meta device, drawing random values makes torch import its compiler, which costs
    seconds at every start.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)


def load_parameters(
    module: nn.Module,
    files: TensorFiles,
    rename: Callable[[str], str | None],
    *,
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    """Fill a module that was built on the meta device, tensor by tensor, in order of place on disk.

    `rename` gives our name of a checkpoint's tensor: None for a component that is not loaded, a name that the
    module lacks for an unknown one. Several tensors may have one name (a file may spell tied weights out):
    they must be equal. Floating-point tensors become `dtype`, others keep theirs. Peak memory: what is
    loaded, in `dtype`, plus the largest tensor as it is on disk.

    Raises:
        CheckpointError: names all missing, unexpected and misshapen tensors, before anything is read.
    """
    slots = _slots(module)
    plan = _plan(slots, files, rename)
    if plan.problems:
        raise CheckpointError(f"The weights do not fit the configuration: {'; '.join(plan.problems)}.")
    names_of: dict[int, list[str]] = {}
    for name, tensor in slots.items():
        names_of.setdefault(id(tensor), []).append(name)
    order = sorted(plan.sources, key=lambda slot: _place(files.infos[plan.sources[slot][0]]))
    for slot in order:
        first, *twins = plan.sources[slot]
        value = _converted(files.read(first), dtype, device).view(slots[slot].shape)
        for twin in twins:
            if not _same(value, files.read(twin)):
                raise CheckpointError(
                    f"`{first}` and `{twin}` must be equal where weights are tied, but differ."
                )
        is_parameter = isinstance(slots[slot], nn.Parameter)
        filled = nn.Parameter(value, requires_grad=False) if is_parameter else value
        for name in names_of[id(slots[slot])]:
            _assign(module, name, filled)
    _check_filled(module)


def _place(info: TensorInfo) -> tuple[str, int]:
    return info.file.name, info.offset


def _check_filled(module: nn.Module) -> None:
    """Only a buffer that no checkpoint holds can still be empty: whoever built the module must compute it."""
    empty = [name for name, buffer in module.named_buffers() if buffer.is_meta]
    if empty:
        raise RuntimeError(f"Non-persistent buffers were left on the meta device: {empty}.")
