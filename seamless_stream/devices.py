"""Sound devices: which there are, which one a name or number means, and streams whose callback only copies.

Knows PortAudio (by `sounddevice`) and, on Linux, PulseAudio or PipeWire (by `pactl`), whose sources and sinks PortAudio
does not show. Every trouble is one AudioError with what to do. Knows no events, sessions or models.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from seamless_stream.errors import AudioError

Kind = Literal["input", "output", "loopback"]

BLOCK_MS = 10  # what one callback moves
LATENCY_S = 0.06  # asked of the device; much less and a busy machine drops out
STALL_S = 5.0  # a device that calls back no more for so long has gone
MAX_CHANNELS = 2  # of a device with more, the first two are heard
PACTL_TIMEOUT_S = 5
WORDS: dict[Kind, str] = {"input": "microphone", "output": "loudspeaker", "loopback": "loopback"}
NO_LIBRARY = {
    "linux": "apt-get install libportaudio2 (Debian, Ubuntu) or dnf install portaudio (Fedora)",
    "darwin": "pip install --force-reinstall sounddevice",
    "win32": "pip install --force-reinstall sounddevice",
}
NO_LOOPBACK = {
    "linux": "it needs PulseAudio or PipeWire with `pactl`: apt-get install pulseaudio-utils",
    "darwin": "macOS has none of its own: install BlackHole, play into it, and use `--source mic:BlackHole`",
    "win32": "this PortAudio has no WASAPI loopback: enable `Stereo Mix` or install VB-CABLE, and use it as `mic:NAME`",
}


@dataclass(frozen=True)
class Device:
    """One place where sound comes from or goes to. `number` is its place in the list of `list_devices`."""

    number: int
    name: str  # what `mic:NAME` and `speaker:NAME` choose by
    description: str
    kind: Kind
    system: str  # PulseAudio, ALSA, Core Audio, Windows WASAPI
    rate: int
    channels: int
    is_default: bool
    index: int  # PortAudio's
    endpoint: str | None = None  # PulseAudio's name, which PortAudio reads from the environment
    monitors: str | None = None  # the output that a loopback hears


def load_portaudio() -> Any:
    """The module `sounddevice`; raises AudioError where PortAudio is missing."""
    try:
        with muted_libraries():
            import sounddevice
    except (OSError, ImportError) as error:
        fix = NO_LIBRARY.get(sys.platform, NO_LIBRARY["linux"])
        raise AudioError(
            f"Microphone and loudspeaker need PortAudio, which is missing here: {fix}."
        ) from error
    return sounddevice


def list_devices() -> list[Device]:
    """All of them, numbered; an empty list where there is none. Raises AudioError where PortAudio is missing."""
    audio = load_portaudio()
    found = list(audio.query_devices())
    hosts = audio.query_hostapis()
    pulse = next((d["index"] for d in found if d["name"] == "pulse" and d["max_input_channels"]), None)
    devices = [] if pulse is None else list(_pulse_devices(pulse))
    has_pulse = bool(devices)
    for entry in found:
        host = hosts[entry["hostapi"]]
        if _is_listed(entry["name"], host["name"], has_pulse):
            devices += _portaudio_devices(entry, host, has_pulse)
    return [_numbered(device, number) for number, device in enumerate(devices)]


def _numbered(device: Device, number: int) -> Device:
    return Device(**{**vars(device), "number": number})


def _is_listed(name: str, host: str, has_pulse: bool) -> bool:
    """Windows shows a device four times, once per sound system; with PulseAudio, ALSA's aliases lead to it too."""
    if sys.platform == "win32":
        return host == "Windows WASAPI"
    return not (host == "ALSA" and has_pulse and "(hw:" not in name)


def _portaudio_devices(entry: dict[str, Any], host: dict[str, Any], has_pulse: bool) -> Iterator[Device]:
    ways = (("input", "max_input_channels"), ("output", "max_output_channels"))
    for way, channels in ways:
        if not entry[channels]:
            continue
        is_loopback = way == "input" and entry["name"].endswith("[Loopback]")
        is_default = entry["index"] == host[f"default_{way}_device"] and not has_pulse and not is_loopback
        yield Device(
            number=0,
            name=entry["name"],
            description=entry["name"],
            kind="loopback" if is_loopback else "input" if way == "input" else "output",
            system=host["name"],
            rate=round(entry["default_samplerate"]),
            channels=min(entry[channels], MAX_CHANNELS),
            is_default=is_default,
            index=entry["index"],
            monitors=entry["name"].removesuffix("[Loopback]").strip() if is_loopback else None,
        )


def _pulse_devices(index: int) -> Iterator[Device]:
    """Sources and sinks of the sound server; none where there is no server or no `pactl`."""
    info = _pactl("info")
    if not isinstance(info, dict):
        return
    defaults = {"sources": info.get("default_source_name"), "sinks": info.get("default_sink_name")}
    for way in ("sources", "sinks"):
        for entry in _pactl("list", way) or []:
            monitors = entry.get("monitor_source") if way == "sources" else None
            is_loopback = entry["name"].endswith(".monitor")
            heard = monitors or entry["name"].removesuffix(".monitor")
            is_default = heard == defaults["sinks"] if is_loopback else entry["name"] == defaults[way]
            form, channels, rate = entry["sample_specification"].split()  # "s16le 2ch 48000Hz"
            yield Device(
                number=0,
                name=entry["name"],
                description=entry["description"],
                kind="loopback" if is_loopback else "input" if way == "sources" else "output",
                system="PulseAudio",
                rate=int(rate.removesuffix("Hz")),
                channels=min(int(channels.removesuffix("ch")), MAX_CHANNELS),
                is_default=is_default,
                index=index,
                endpoint=entry["name"],
                monitors=heard if is_loopback else None,
            )


def _pactl(*words: str) -> Any:
    if shutil.which("pactl") is None:
        return None
    try:
        found = subprocess.run(
            ["pactl", "--format=json", *words],
            capture_output=True,
            timeout=PACTL_TIMEOUT_S,
            check=True,
            env={**os.environ, "LC_ALL": "C.UTF-8"},  # other locales put commas into its numbers
        )
        return json.loads(found.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


# --- choice


def choose(devices: list[Device], kind: Kind, wanted: str | None) -> Device:
    """The device that a name, a part of one, or a number means; None is the default one. Raises AudioError."""
    if kind == "loopback" and sys.platform == "linux" and not any(d.kind == kind for d in devices):
        raise AudioError(f"There is no loopback here: {NO_LOOPBACK['linux']}.")
    # A loopback is a microphone for who names it.
    fitting = [d for d in devices if d.kind == kind or (kind == "input" and wanted and d.kind == "loopback")]
    if not fitting:
        fix = "plug one in and look at `seamless-stream devices`"
        if kind == "loopback":
            fix = NO_LOOPBACK.get(sys.platform, NO_LOOPBACK["linux"])
        raise AudioError(f"There is no {WORDS[kind]} here: {fix}.")
    if wanted is None:
        return next((d for d in fitting if d.is_default), fitting[0])
    matches = _matches(fitting, wanted)
    if len(matches) == 1:
        return matches[0]
    if matches:
        names = ", ".join(f"{d.number} ({d.name})" for d in matches)
        raise AudioError(f"`{wanted}` must mean one {WORDS[kind]}, but fits several: {names}.")
    raise AudioError(f"There is no {WORDS[kind]} `{wanted}`: {_nearest(fitting, wanted)}.")


def _matches(devices: list[Device], wanted: str) -> list[Device]:
    """By number, else by whole name, else by a part of name or description."""
    if wanted.isdigit():
        return [d for d in devices if d.number == int(wanted)]
    word = wanted.casefold()
    exact = [d for d in devices if word in (d.name.casefold(), d.description.casefold())]
    return exact or [d for d in devices if word in f"{d.name} {d.description}".casefold()]


def _nearest(devices: list[Device], wanted: str) -> str:
    names = {d.name.casefold(): d.name for d in devices}
    near = get_close_matches(wanted.casefold(), names, n=3, cutoff=0.5)
    if near:
        return "nearest are " + ", ".join(names[name] for name in near)
    return "there are " + ", ".join(f"{d.number} ({d.name})" for d in devices)


# --- streams


class DeviceStream:
    """A running PortAudio stream; `check` notices that the device has gone.

    `copy` gets the block's array [n, C] (to read, or to fill), on PortAudio's own thread, where nothing may wait.
    """

    def __init__(self, device: Device, copy: Callable[[Any], object]) -> None:
        self.device = device
        self.num_dropouts = 0  # times that the system says it lost sound on the way
        self._copy = copy
        self._is_output = device.kind == "output"
        self._num_blocks = 0
        self._seen_blocks, self._seen_at = 0, time.monotonic()
        audio = load_portaudio()
        make = audio.OutputStream if self._is_output else audio.InputStream
        try:
            with muted_libraries(), _endpoint(device):
                self._stream = make(
                    device=device.index,
                    samplerate=device.rate,
                    channels=device.channels,
                    dtype="float32",
                    blocksize=device.rate * BLOCK_MS // 1_000,
                    latency=LATENCY_S,
                    callback=self._call,
                )
                self._stream.start()
        except audio.PortAudioError as error:
            raise AudioError(_why_not(device, error)) from error

    @property
    def latency_s(self) -> float:
        """What lies between the callback and the ear."""
        return float(self._stream.latency)

    def check(self) -> None:
        """Raises AudioError when the device has been unplugged or its server has ended."""
        now = time.monotonic()
        if self._num_blocks != self._seen_blocks:
            self._seen_blocks, self._seen_at = self._num_blocks, now
        if not self._stream.active or now - self._seen_at > STALL_S:
            word = WORDS[self.device.kind]
            raise AudioError(
                f"The {word} `{self.device.name}` has gone: it was unplugged or its sound server ended;"
                " `seamless-stream devices` shows what is there."
            )

    def close(self) -> None:
        """Give the device back at once."""
        with muted_libraries():
            self._stream.abort(ignore_errors=True)
            self._stream.close(ignore_errors=True)

    def _call(self, block: Any, _frames: int, _times: Any, status: Any) -> None:
        self._num_blocks += 1
        self.num_dropouts += bool(status.output_underflow if self._is_output else status.input_overflow)
        self._copy(block)


def _why_not(device: Device, error: Exception) -> str:
    reason = str(error).splitlines()[0]
    sentence = f"The {WORDS[device.kind]} `{device.name}` cannot be opened: {reason}"
    if "unavailable" in reason.casefold() or "busy" in reason.casefold():
        return f"{sentence}; end the program that holds it, or choose another of `seamless-stream devices`."
    return f"{sentence}; `seamless-stream devices` shows the others."


@contextmanager
def _endpoint(device: Device) -> Iterator[None]:
    """PulseAudio's client library reads which endpoint is meant from the environment when a stream opens."""
    if device.endpoint is None:
        yield
        return
    key = "PULSE_SINK" if device.kind == "output" else "PULSE_SOURCE"
    before = os.environ.get(key)
    os.environ[key] = device.endpoint
    try:
        yield
    finally:
        del os.environ[key]
        if before is not None:
            os.environ[key] = before


@contextmanager
def muted_libraries() -> Iterator[None]:
    """ALSA and PortAudio print their own troubles on file descriptor 2, over our captions: not while this lasts.

    What Python writes to `sys.stderr` still gets through.
    """
    if sys.stderr is None or not _is_descriptor_2():
        yield
        return
    stderr = sys.stderr
    stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    with open(kept, "w", encoding=stderr.encoding, errors="replace", buffering=1, closefd=False) as through:
        sys.stderr = through
        try:
            yield
        finally:
            through.flush()
            sys.stderr = stderr
            os.dup2(kept, 2)
            os.close(kept)


def _is_descriptor_2() -> bool:
    try:
        return sys.stderr.fileno() == 2
    except (OSError, ValueError, AttributeError):
        return False
