"""`server.record_dir`: what each engine session heard and said, as files from which it can be run again.

Knows files and the worker's sessions; no sockets. One folder a session, for its owner's eyes only (0700, files 0600):
`settings.yaml`, `audio.au` (what the model heard, float32 at 16 kHz), `inputs.jsonl` (changes of language, the end),
`events.jsonl`. Everything is only appended, so that a crash costs the last moment alone. One thread writes: neither the
event loop nor the model waits for a disk.
"""

import json
import logging
import os
import shutil
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import yaml

from seamless_stream import __version__
from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.engine.metrics import fact, json_line
from seamless_stream.engine.worker import Item, WorkerSession
from seamless_stream.errors import SeamlessStreamError, SettingsError
from seamless_stream.events import Event

log = logging.getLogger(__name__)

SETTINGS, AUDIO, INPUTS, EVENTS = "settings.yaml", "audio.au", "inputs.jsonl", "events.jsonl"
# Sun AU: the one sound format that may say "length unknown" and so needs no mending at its end.
AU_HEAD: Final = struct.pack(">4s5I", b".snd", 24, 0xFFFFFFFF, 6, SAMPLE_RATE, 1)
MIN_FREE_BYTES: Final = 1 << 29  # of the file system: with less no new recording is begun


class Recording:
    """The files of one session; all calls come from the writing thread."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        self._folder = folder
        self._files: dict[str, int] = {}

    def append(self, name: str, data: bytes) -> None:
        """To one of its files."""
        if name not in self._files:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            self._files[name] = os.open(self._folder / name, flags, 0o600)
        os.write(self._files[name], data)

    def close(self) -> None:
        """Nothing more will come."""
        for number in self._files.values():
            os.close(number)
        self._files.clear()


class Place:
    """Where one session is recorded, and how much of its room is left."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.left_bytes = max_bytes
        self.recording: Recording | None = None
        self.is_over = False


class Recorder:
    """An observer of the worker."""

    def __init__(self, folder: Path, model: str, max_bytes: int) -> None:
        """Raises SettingsError where nothing can be written."""
        self._folder = folder
        self._model = model
        self._max_bytes = max_bytes
        self._num_sessions = 0
        self._places: WeakKeyDictionary[WorkerSession, Place] = WeakKeyDictionary()
        self._writer = ThreadPoolExecutor(1, "seamless-stream-recorder")
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError("it cannot be written to")
        except OSError as error:
            raise SettingsError(
                f"`server.record_dir` must be a folder to write to, but is not: {error}."
            ) from error

    def close(self) -> None:
        """Write what waits."""
        self._writer.shutdown()

    # An observer.

    def pushed(self, session: WorkerSession, item: Item) -> None:
        """Audio, a change of language, or the end."""
        place = self._places.get(session)
        if place is None:
            place = self._places[session] = self._begin(session)
        if isinstance(item, np.ndarray):
            self._write(place, AUDIO, item.astype(">f4").tobytes())
            return
        what: dict[str, Any] = {"finish": True} if item is None else {"targets": item}
        self._write_line(place, INPUTS, {"at_samples": session.pushed_samples} | what)

    def delivered(self, session: WorkerSession, events: list[Event]) -> None:
        """What came of it; speech as its length."""
        place = self._places.get(session)
        if place is not None:
            for event in events:
                self._write_line(place, EVENTS, fact(event, session.pushed_samples / SAMPLE_RATE))

    def ended(self, session: WorkerSession, error: SeamlessStreamError | None) -> None:
        """Close its files."""
        place = self._places.pop(session, None)
        if place is not None:
            self._write_line(place, EVENTS, {"type": "Ended", "error": error and str(error)})
            place.is_over = True
            self._writer.submit(self._close, place)

    def stepped(self, duration_s: float) -> None:
        """Of no interest."""

    # Any thread.

    def _begin(self, session: WorkerSession) -> Place:
        self._num_sessions += 1
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        name = f"{moment}-{os.getpid()}-{self._num_sessions:05}-{session.name or 'session'}"
        place = Place(self._folder / name, self._max_bytes)
        settings = json.loads(json.dumps(asdict(session.settings)))  # tuples become lists
        tree = {"model": {"name": self._model}, "session": settings}
        head = f"# A session of seamless_stream {__version__}: seamless-stream replay {name}\n"
        self._write(place, SETTINGS, (head + yaml.safe_dump(tree, sort_keys=False)).encode())
        self._write(place, AUDIO, AU_HEAD)
        log.info("recording", extra={"session": session.name, "folder": name})
        return place

    def _write_line(self, place: Place, name: str, value: dict[str, Any]) -> None:
        self._write(place, name, (json_line(value) + "\n").encode())

    def _write(self, place: Place, name: str, data: bytes) -> None:
        """What waits for the writer counts as written, so that a slow disk cannot fill the memory for ever."""
        if place.is_over:
            return
        place.left_bytes -= len(data)
        if place.left_bytes < 0:
            place.is_over = True
            log.warning("a recording is full and ends", extra={"folder": place.folder.name})
            name, data = EVENTS, b'{"type": "Truncated"}\n'
        self._writer.submit(self._append, place, name, data)

    # The writing thread.

    def _append(self, place: Place, name: str, data: bytes) -> None:
        try:
            if place.recording is None:
                free = shutil.disk_usage(self._folder).free
                if free < MIN_FREE_BYTES:
                    raise OSError(f"only {free >> 20} MiB are free")
                place.recording = Recording(place.folder)
            place.recording.append(name, data)
        except OSError as error:
            if not place.is_over:
                log.error("a recording ends: %s", error, extra={"folder": place.folder.name})
            place.is_over = True

    def _close(self, place: Place) -> None:
        if place.recording is not None:
            place.recording.close()
