"""Where weights come from: bundled with the package, a directory, or the Hugging Face hub.

Knows the files of a checkpoint in Hugging Face layout and the hub cache; `known` lists those that have a name. It does
not know what a configuration means, nor how a family names its tensors.
"""

import difflib
import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import huggingface_hub
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)

from seamless_stream.errors import CheckpointError
from seamless_stream.models.known import KNOWN, KnownCheckpoint
from seamless_stream.models.tensors import (
    PICKLE_FILE,
    SINGLE_FILE,
    TensorFiles,
    fingerprint,
    load_parameters,
    read_header,
    read_json,
    shard_files,
)

__all__ = [
    "KNOWN",
    "PHRASEBOOK_DIRECTORY",
    "CheckpointFiles",
    "KnownCheckpoint",
    "ListedCheckpoint",
    "TensorFiles",
    "list_checkpoints",
    "load_parameters",
    "pull",
    "resolve",
    "verify",
]

PHRASEBOOK_DIRECTORY = Path(__file__).parent.parent / "checkpoints" / "phrasebook"
CONFIG_FILE = "config.json"
GENERATION_CONFIG_FILE = "generation_config.json"
PREPROCESSOR_CONFIG_FILE = "preprocessor_config.json"
TOKENIZER_FILE = "sentencepiece.bpe.model"
ALIGNMENT_FILE = "alignment_heads.json"  # not of the released checkpoints; see docs/performance.md
VOCABULARY_FILE = "vocab.json"
REQUIRED_FILES = (CONFIG_FILE, GENERATION_CONFIG_FILE, TOKENIZER_FILE)
# By `model_type` of config.json, where a family needs other files.
REQUIRED_OF_TYPE = {
    "speech_to_text": (CONFIG_FILE, PREPROCESSOR_CONFIG_FILE, VOCABULARY_FILE, TOKENIZER_FILE),
    "speech-encoder-decoder": (CONFIG_FILE, PREPROCESSOR_CONFIG_FILE, VOCABULARY_FILE),
}
CHECKSUM_FILE = "SHA256SUMS"

# What is pulled of a hub repository; the released one also holds the original weights in another format.
PULLED_FILES = [
    *REQUIRED_FILES,
    PREPROCESSOR_CONFIG_FILE,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    VOCABULARY_FILE,
    "merges.txt",
    "model*.safetensors",
    "model.safetensors.index.json",
    ALIGNMENT_FILE,
]
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")

Origin = Literal["bundled", "directory", "hub"]


_BY_NAME = {known.name: known for known in KNOWN}
DEFAULT_HUB_NAME = "v2-large"


@dataclass(frozen=True)
class CheckpointFiles:
    """A checkpoint on this machine; files are read when asked for, and at most once."""

    name: str
    origin: Origin
    directory: Path
    revision: str | None = None  # commit, of what came from the hub

    @cached_property
    def identity(self) -> str:
        """The commit of what came from the hub, else a fingerprint of the weights; for people who compare results."""
        return self.revision or f"weights:{fingerprint(shard_files(self.directory))}"

    @cached_property
    def config(self) -> dict[str, Any]:
        """The parsed `config.json`; this and the next two raise CheckpointError."""
        return read_json(self.directory / CONFIG_FILE)

    @cached_property
    def generation_config(self) -> dict[str, Any]:
        """The parsed `generation_config.json`."""
        return read_json(self.directory / GENERATION_CONFIG_FILE)

    @cached_property
    def preprocessor_config(self) -> dict[str, Any]:
        """The parsed `preprocessor_config.json`."""
        return read_json(self.directory / PREPROCESSOR_CONFIG_FILE)

    @cached_property
    def alignment_heads(self) -> tuple[tuple[int, int], ...]:
        """(layer, head) pairs that were trained to look at what is said, or that `tools/calibrate_heads.py` has found;
        empty where nobody has looked."""
        path = self.directory / ALIGNMENT_FILE
        if not path.exists():
            return ()
        pairs = read_json(path).get("heads")
        if not isinstance(pairs, list) or not all(
            isinstance(pair, list) and len(pair) == 2 and all(isinstance(n, int) for n in pair)
            for pair in pairs
        ):
            raise CheckpointError(f"{path}: `heads` must be a list of pairs of a layer and a head.")
        return tuple((layer, head) for layer, head in pairs)

    @cached_property
    def tensors(self) -> TensorFiles:
        """All weights, headers only."""
        return TensorFiles.open(self.directory)

    @property
    def tokenizer_model(self) -> Path:
        """The sentencepiece model."""
        return self.directory / TOKENIZER_FILE

    @property
    def description(self) -> str:
        """One line for people: which checkpoint this is and what it is good for."""
        known = _BY_NAME.get(self.name)
        what = f"bundled {self.name}" if self.origin == "bundled" else self.name
        at = f" at {self.revision[:12]}" if self.revision else ""
        return f"{what}{at}: {known.scope}" if known else f"{what}{at} ({self.directory})"


def absent_files(directory: Path) -> list[str]:
    """Names of the files that a checkpoint directory lacks; raises CheckpointError for a broken index."""
    needed = [*(directory / name for name in required_files(directory)), *shard_files(directory)]
    return [file.name for file in needed if not file.exists()]


def required_files(directory: Path) -> tuple[str, ...]:
    """What a checkpoint must hold besides its weights, as far as its config.json tells."""
    try:
        kind = read_json(directory / CONFIG_FILE).get("model_type")
    except CheckpointError:
        kind = None
    return REQUIRED_OF_TYPE.get(str(kind), REQUIRED_FILES)


# --- resolving a name


def resolve(name: str, *, revision: str | None = None, offline: bool = False) -> CheckpointFiles:
    """The files of `auto`, a known name, a directory or a hub id; downloads a hub id that is not here.

    `auto` is v2-large where that is in the hub cache already, else the phrasebook; it never downloads.

    Raises:
        CheckpointError: unknown, incomplete, not downloadable, or not here while offline; says what to run.
    """
    if name == "auto":
        return _in_hub_cache(DEFAULT_HUB_NAME, None) or _bundled("phrasebook")
    if name in _BY_NAME and _BY_NAME[name].hub_id is None:
        return _bundled(name)
    if name and name not in _BY_NAME and Path(name).expanduser().is_dir():
        return _directory(name)
    _check_name(name)
    found = _in_hub_cache(name, revision)
    if found is not None:
        return found
    if offline or huggingface_hub.constants.HF_HUB_OFFLINE:
        raise CheckpointError(
            f"`{name}` is not complete in the hub cache and downloads are off. "
            f"Run `seamless-stream models pull {name}` with them on."
        )
    return pull(name, revision=revision or _recorded_revision(_hub_id(name)))


def pull(name: str, *, revision: str | None = None) -> CheckpointFiles:
    """Download a known name or hub id into the hub cache, resuming where it was interrupted.

    Without a revision this takes and records the newest commit, also where an older one is here.
    Progress goes to stderr.

    Raises:
        CheckpointError: unknown, no connection, no such revision, or incomplete there.
    """
    if name in _BY_NAME and _BY_NAME[name].hub_id is None:
        return _bundled(name)
    _check_name(name)
    hub_id, wanted = _hub_id(name), revision or _default_revision(name)
    directory = Path(_snapshot(hub_id, wanted, PULLED_FILES))
    absent = absent_files(directory)
    if SINGLE_FILE in absent:  # a repository from before safetensors
        directory = Path(_snapshot(hub_id, wanted, [PICKLE_FILE]))
        absent = absent_files(directory)
    if absent:
        raise CheckpointError(f"`{hub_id}` at {wanted} must hold {', '.join(absent)}, but does not.")
    if revision is None:
        _record_revision(hub_id, directory.name)
    return CheckpointFiles(name, "hub", directory, directory.name)


def _bundled(name: str) -> CheckpointFiles:
    directory = PHRASEBOOK_DIRECTORY
    if not (directory / CONFIG_FILE).exists():
        raise CheckpointError(f"The bundled checkpoint `{name}` must be in `{directory}`, but is not.")
    return CheckpointFiles(name, "bundled", directory)


def _directory(name: str) -> CheckpointFiles:
    directory = Path(name).expanduser()
    absent = absent_files(directory)
    if absent:
        raise CheckpointError(f"`{name}` must be a checkpoint, but lacks {', '.join(absent)}.")
    return CheckpointFiles(name, "directory", directory)


def _check_name(name: str) -> None:
    """A name that is neither known nor has the form of a hub id is refused before anybody asks the hub."""
    if name in _BY_NAME or (HUB_ID.fullmatch(name) and not name.startswith(".")):
        return
    if os.sep in name or name.startswith((".", "~")):
        raise CheckpointError(f"Model `{name}` must be a directory, but there is none.")
    near = difflib.get_close_matches(name, ["auto", *_BY_NAME], n=1)
    meant = f" Did you mean `{near[0]}`?" if near else ""
    names = ", ".join(["auto", *_BY_NAME])
    raise CheckpointError(
        f"Model `{name}` must be one of {names}, a directory or a hub id `org/name`.{meant}"
    )


# --- the hub


def _hub_id(name: str) -> str:
    known = _BY_NAME.get(name)
    return known.hub_id if known and known.hub_id else name


def _default_revision(name: str) -> str:
    return _BY_NAME[name].revision if name in _BY_NAME else "main"


def _revisions_file() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "seamless_stream" / "revisions.json"


def _recorded_revisions() -> dict[str, str]:
    file = _revisions_file()
    return read_json(file) if file.exists() else {}


def _recorded_revision(hub_id: str) -> str | None:
    """The commit of the first pull: another program that moves `main` in the hub cache must not move ours."""
    return _recorded_revisions().get(hub_id)


def _record_revision(hub_id: str, commit: str) -> None:
    file = _revisions_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(f".{os.getpid()}.tmp")
    unfinished.write_text(json.dumps(_recorded_revisions() | {hub_id: commit}, indent=2) + "\n")
    unfinished.replace(file)  # a reader sees the old file or the new one


def _in_hub_cache(name: str, revision: str | None) -> CheckpointFiles | None:
    """The checkpoint as the cache has it, or None where any file is absent; asks nobody."""
    hub_id = _hub_id(name)
    wanted = revision or _recorded_revision(hub_id) or _default_revision(name)
    try:
        directory = Path(
            huggingface_hub.snapshot_download(
                hub_id,
                revision=wanted,
                allow_patterns=[*PULLED_FILES, PICKLE_FILE],
                local_files_only=True,
            )
        )
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return None if absent_files(directory) else CheckpointFiles(name, "hub", directory, directory.name)


def _snapshot(hub_id: str, revision: str, patterns: list[str]) -> str:
    try:
        return huggingface_hub.snapshot_download(hub_id, revision=revision, allow_patterns=patterns)
    except HfHubHTTPError as error:  # no such repository or revision, gated, server trouble
        status = error.response.status_code if error.response is not None else "unknown"
        raise CheckpointError(
            f"`{hub_id}` at {revision} cannot be pulled: the hub answered {status}."
        ) from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise CheckpointError(f"`{hub_id}` cannot be pulled: the hub cannot be reached from here.") from error
    except HFValidationError as error:
        raise CheckpointError(f"`{hub_id}` is no hub id: {error}") from error
    except OSError as error:
        raise CheckpointError(f"`{hub_id}` cannot be pulled: {error}.") from error


# --- listing and verifying


@dataclass(frozen=True)
class ListedCheckpoint:
    """A known checkpoint and whether it is here; the numbers are those of the files where they are."""

    known: KnownCheckpoint
    files: CheckpointFiles | None
    million_parameters: float | None
    gigabytes: float | None


def list_checkpoints() -> list[ListedCheckpoint]:
    """Every known checkpoint; asks nobody."""
    return [_listed(known) for known in KNOWN]


def _listed(known: KnownCheckpoint) -> ListedCheckpoint:
    try:
        files = _in_hub_cache(known.name, None) if known.hub_id else _bundled(known.name)
        tensors = files.tensors if files else None
    except CheckpointError:  # absent or damaged; `verify` says which
        files = tensors = None
    if tensors is None:
        return ListedCheckpoint(known, files, known.million_parameters, known.gigabytes)
    return ListedCheckpoint(known, files, tensors.num_parameters / 1e6, tensors.nbytes / 1e9)


def verify(files: CheckpointFiles) -> list[str]:
    """Everything that is wrong with a checkpoint's files, in sentences; empty if nothing is.

    Checks that all files are there and readable, that each shard is as long as its header says and each
    tensor's place fits its dtype and shape, that the index agrees with the shards, and checksums where a
    SHA256SUMS lists them.
    """
    problems = []
    for name in dict.fromkeys((*required_files(files.directory), PREPROCESSOR_CONFIG_FILE)):
        if name.endswith(".json"):
            problems += _problem_of(partial(read_json, files.directory / name))
        elif not (files.directory / name).exists():
            problems.append(f"`{files.directory}` must hold `{name}`, but does not.")
    shards = _problem_of(partial(shard_files, files.directory))
    if not shards:
        for shard in shard_files(files.directory):
            if shard.name != PICKLE_FILE:
                shards += _problem_of(partial(read_header, shard))
    problems += shards or _problem_of(partial(TensorFiles.open, files.directory))
    return problems + _wrong_checksums(files.directory)


def _problem_of(check: Callable[[], object]) -> list[str]:
    try:
        check()
    except CheckpointError as error:
        return [str(error)]
    return []


def _wrong_checksums(directory: Path) -> list[str]:
    manifest = directory / CHECKSUM_FILE
    if not manifest.exists():
        return []
    problems = []
    for line in manifest.read_text().splitlines():
        said, _, name = line.partition("  ")
        file = directory / name.lstrip("*")
        if not file.is_file():
            problems.append(f"`{directory}` must hold `{name}`, but does not.")
            continue
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != said:
            problems.append(f"`{file}` must have SHA-256 {said}, but has {found}.")
    return problems
