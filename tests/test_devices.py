"""Devices: what Windows, macOS and ALSA list, what a name or number means, and what is said where nothing fits.

The sound systems are tables here; a real PulseAudio is in tests/desk.
"""

import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from seamless_stream import devices
from seamless_stream.cli import main
from seamless_stream.devices import Device, DeviceStream, choose, list_devices
from seamless_stream.errors import AudioError
from seamless_stream.events import Speech
from seamless_stream.sinks.speech import SpeakerSink
from seamless_stream.sources import DeviceSource


class PortAudioError(Exception):
    pass


def entry(
    index: int, name: str, inputs: int, outputs: int, host: int = 0, rate: float = 44_100.0
) -> dict[str, Any]:
    return {
        "index": index,
        "name": name,
        "hostapi": host,
        "max_input_channels": inputs,
        "max_output_channels": outputs,
        "default_samplerate": rate,
    }


def host(name: str, default_input: int, default_output: int) -> dict[str, Any]:
    return {"name": name, "default_input_device": default_input, "default_output_device": default_output}


def use(
    monkeypatch: pytest.MonkeyPatch, platform: str, found: list[dict[str, Any]], hosts: list[dict[str, Any]]
) -> None:
    audio = SimpleNamespace(
        query_devices=lambda: found, query_hostapis=lambda: hosts, PortAudioError=PortAudioError
    )
    monkeypatch.setattr(devices, "load_portaudio", lambda: audio)
    monkeypatch.setattr(devices, "_pactl", lambda *words: None)
    monkeypatch.setattr(sys, "platform", platform)


WINDOWS = (
    [
        entry(0, "Microsoft Sound Mapper", 2, 0, 0),
        entry(1, "Microphone (USB)", 1, 0, 1, 48_000.0),
        entry(2, "Speakers (Realtek)", 0, 8, 1, 48_000.0),
        entry(3, "Speakers (Realtek) [Loopback]", 2, 0, 1, 48_000.0),
    ],
    [host("MME", 0, -1), host("Windows WASAPI", 1, 2)],
)
MAC = ([entry(0, "MacBook Microphone", 1, 0), entry(1, "MacBook Speakers", 0, 2)], [host("Core Audio", 0, 1)])


def test_windows_lists_each_device_once_with_its_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "win32", *WINDOWS)
    found = list_devices()
    assert [(d.number, d.kind, d.channels, d.rate) for d in found] == [
        (0, "input", 1, 48_000),
        (1, "output", 2, 48_000),
        (2, "loopback", 2, 48_000),
    ]
    assert choose(found, "loopback", None).monitors == choose(found, "output", None).name
    assert [d.is_default for d in found] == [True, True, False]


def test_a_system_without_loopback_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "darwin", *MAC)
    found = list_devices()
    with pytest.raises(AudioError, match="no loopback here: .*BlackHole"):
        choose(found, "loopback", None)
    use(monkeypatch, "linux", [entry(0, "USB (hw:1,0)", 1, 0)], [host("ALSA", 0, -1)])
    with pytest.raises(AudioError, match="no loopback here: .*pulseaudio-utils"):
        choose(list_devices(), "loopback", "anything")


def test_pulse_hides_its_aliases_but_not_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [entry(0, "HDA (hw:0,0)", 2, 0), entry(1, "pulse", 32, 32), entry(2, "default", 32, 32)]
    use(monkeypatch, "linux", found, [host("ALSA", 2, 2)])
    source = {"name": "usb", "description": "USB Mic", "sample_specification": "s16le 1ch 16000Hz"}
    monitor = {
        "name": "out.monitor",
        "description": "Monitor",
        "sample_specification": "float32le 8ch 96000Hz",
    }
    sink = {"name": "out", "description": "Out", "sample_specification": "float32le 8ch 96000Hz"}
    answers = {
        ("info",): {"default_source_name": "usb", "default_sink_name": "out"},
        ("list", "sources"): [source, {**monitor, "monitor_source": "out"}],
        ("list", "sinks"): [{**sink, "monitor_source": "out.monitor"}],
    }
    monkeypatch.setattr(devices, "_pactl", lambda *words: answers[words])
    listed = list_devices()
    assert [(d.name, d.kind, d.rate, d.is_default) for d in listed] == [
        ("usb", "input", 16_000, True),
        ("out.monitor", "loopback", 96_000, True),
        ("out", "output", 96_000, True),
        ("HDA (hw:0,0)", "input", 44_100, False),
    ]
    assert listed[1].monitors == "out" and listed[2].channels == 2 and listed[0].index == 1


def make(number: int, name: str, kind: Any = "input", is_default: bool = False) -> Device:
    return Device(number, name, f"{name} (described)", kind, "ALSA", 48_000, 1, is_default, number)


ALL = [
    make(0, "Built-in"),
    make(1, "USB Headset", is_default=True),
    make(2, "USB Camera"),
    make(3, "Out", "output"),
]


@pytest.mark.parametrize(
    ("wanted", "number"),
    [(None, 1), ("0", 0), ("built-in", 0), ("head", 1), ("camera (desc", 2), ("USB Camera", 2)],
)
def test_names_parts_and_numbers(wanted: str | None, number: int) -> None:
    assert choose(ALL, "input", wanted).number == number


@pytest.mark.parametrize(
    ("kind", "wanted", "sentence"),
    [
        ("input", "usb", r"fits several: 1 \(USB Headset\), 2 \(USB Camera\)"),
        ("input", "USB Hedset", "nearest are USB Headset"),
        ("input", "9", r"no microphone `9`: there are 0 \(Built-in\), 1"),
        ("input", "3", "no microphone `3`"),  # an output
        ("output", "xyzzy", r"no loudspeaker `xyzzy`: there are 3 \(Out\)"),
    ],
)
def test_what_does_not_fit_is_one_sentence(kind: Any, wanted: str, sentence: str) -> None:
    with pytest.raises(AudioError, match=sentence) as caught:
        choose(ALL, kind, wanted)
    assert "\n" not in str(caught.value)


def test_no_device_at_all() -> None:
    with pytest.raises(AudioError, match="no microphone here: plug one in"):
        choose([], "input", None)


def test_missing_library_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)  # import raises ImportError
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(AudioError, match="apt-get install libportaudio2"):
        list_devices()


class FakeStream:
    """What sounddevice's streams do as far as we use them."""

    def __init__(self, callback: Any, **options: Any) -> None:
        self.callback, self.options, self.active, self.latency = callback, options, True, 0.02

    def start(self) -> None:
        pass

    def abort(self, ignore_errors: bool) -> None:
        self.active = False

    def close(self, ignore_errors: bool) -> None:
        self.active = False


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    audio = SimpleNamespace(PortAudioError=PortAudioError, InputStream=FakeStream, OutputStream=FakeStream)
    monkeypatch.setattr(devices, "load_portaudio", lambda: audio)
    return audio


def test_busy_device_is_one_sentence_with_the_way_out(streams: SimpleNamespace) -> None:
    def refuse(**options: Any) -> None:
        raise PortAudioError("Device unavailable [PaErrorCode -9985]\nmore")

    streams.InputStream = refuse
    with pytest.raises(
        AudioError, match="`Built-in` cannot be opened: Device unavailable.*end the program"
    ) as caught:
        DeviceStream(ALL[0], lambda block: None)
    assert "\n" not in str(caught.value)


def test_lost_device_is_noticed_whether_it_stops_or_stalls(
    streams: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(devices.time, "monotonic", lambda: now[0])
    heard: list[np.ndarray] = []
    stream = DeviceStream(ALL[0], heard.append)
    fake: FakeStream = stream._stream
    fine, late = SimpleNamespace(input_overflow=False), SimpleNamespace(input_overflow=True)
    for status in (fine, late, fine):
        now[0] += 2.5
        fake.callback(np.zeros((480, 1), np.float32), 480, None, status)
        stream.check()
    assert len(heard) == 3 and stream.num_dropouts == 1
    now[0] += 5.5
    with pytest.raises(AudioError, match="`Built-in` has gone"):
        stream.check()
    fake.callback(np.zeros((480, 1), np.float32), 480, None, fine)
    stream.check()
    fake.active = False
    with pytest.raises(AudioError, match="has gone"):
        stream.check()


def listens(source: DeviceSource, blocks: Iterable[np.ndarray]) -> None:
    """Let a microphone's stream give these blocks, and read them."""
    chunks = source.chunks()
    source._ring.write(np.zeros((480, source.device.channels), np.float32))
    next(chunks)  # opens the stream
    assert source._stream is not None
    for block in blocks:
        source._stream._stream.callback(block, len(block), None, SimpleNamespace(input_overflow=False))
        next(chunks)
    chunks.close()


def test_a_muted_microphone_is_told_once(streams: SimpleNamespace) -> None:
    second = np.zeros((ALL[0].rate, ALL[0].channels), np.float32)
    muted, quiet = DeviceSource(ALL[0]), DeviceSource(ALL[0])
    listens(muted, [second] * 8)
    assert len(muted.warnings) == 1 and "`Built-in` gives nothing but silence" in muted.warnings[0]
    listens(quiet, [second, second + 1e-3, *[second] * 7])  # an open one that nobody speaks into
    assert not quiet.warnings


def test_speech_beyond_a_minute_is_left_out_and_told_once(streams: SimpleNamespace) -> None:
    speaker = SpeakerSink(replace(ALL[0], kind="output"))
    for segment in range(8):
        speaker.write(Speech(segment, "spa", np.full(160_000, 0.1, np.float32), 16_000), 0.0)
    assert speaker.backlog_s == 60.0 and "20.0 s left out" in speaker.report
    assert speaker.warnings == ["The loudspeaker is 60 s behind: speech is left out, the captions are whole."]


def test_brackets_in_a_name_are_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["Headset [usb]", "odd [/b] [red]"]
    use(
        monkeypatch,
        "darwin",
        [entry(i, name, 1, 0) for i, name in enumerate(names)],
        [host("Core Audio", 0, -1)],
    )
    assert main(["devices", "--json"]) == 0
    assert [device["name"] for device in json.loads(capsys.readouterr().out)] == names
    assert main(["devices"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in names)
