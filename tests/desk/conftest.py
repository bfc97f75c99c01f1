"""A PulseAudio of our own without hardware: what is played into `mic` is heard by the microphone `virtmic`, and what
the loudspeaker `spk` plays can be recorded from its monitor.

    apt-get install pulseaudio pulseaudio-utils libportaudio2 libasound2-plugins
"""

import ctypes.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from seamless_stream.audio.files import write_wav
from seamless_stream.audio.pcm import from_bytes

RATE = 16_000  # of what tests play and record
START_S = 30
MODULES = (
    "module-native-protocol-unix",
    "module-null-sink sink_name=spk rate=48000 channels=2 sink_properties=device.description=spk",
    "module-null-sink sink_name=mic rate=48000 channels=1 sink_properties=device.description=mic",
    "module-remap-source source_name=virtmic master=mic.monitor source_properties=device.description=virtmic",
)
PROGRAMS = {"pulseaudio": "pulseaudio", "pactl": "pulseaudio-utils", "parec": "pulseaudio-utils"}
ALSA_PLUGIN = "alsa-lib/libasound_module_pcm_pulse.so"


def missing_packages() -> list[str]:
    """Debian's names of what the tests of this folder need and this machine lacks."""
    missing = {package for program, package in PROGRAMS.items() if shutil.which(program) is None}
    if ctypes.util.find_library("portaudio") is None:
        missing.add("libportaudio2")
    if not [*Path("/usr/lib").glob(f"*/{ALSA_PLUGIN}"), *Path("/usr/lib").glob(ALSA_PLUGIN)]:
        missing.add("libasound2-plugins")
    return sorted(missing)


class Recording:
    """What a source gives, in the background; sample 0 was heard at about `started`."""

    def __init__(self, source: str, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        form = ["--format=s16le", f"--rate={RATE}", "--channels=1", "--raw", "--latency-msec=50"]
        self._process = subprocess.Popen(["parec", "-d", source, *form], stdout=self._file)
        while not path.stat().st_size and self._process.poll() is None:
            time.sleep(0.01)
        self.started = time.monotonic()

    def heard(self) -> np.ndarray:
        """So far."""
        data = self._path.read_bytes()
        return from_bytes(data[: len(data) // 2 * 2])

    def stop(self) -> np.ndarray:
        """All of it."""
        self._process.terminate()
        self._process.wait(10)
        self._file.close()
        return self.heard()


class Pulse:
    """The sound server and its clients."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._num_files = 0
        self._clients: list[subprocess.Popen[bytes]] = []
        words = [f"--load={module}" for module in MODULES]
        self._server = subprocess.Popen(
            ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", *words], stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_S
        while subprocess.run(["pactl", "info"], capture_output=True).returncode:
            assert self._server.poll() is None and time.monotonic() < deadline, "pulseaudio does not start"
            time.sleep(0.05)

    def say(self, samples: np.ndarray, sink: str = "mic") -> "subprocess.Popen[bytes]":
        """Play samples at 16 kHz, as if somebody spoke into the microphone."""
        path = self._new_file("wav")
        write_wav(path, samples)
        player = subprocess.Popen(["paplay", "-d", sink, str(path)])
        self._clients.append(player)
        return player

    def record(self, source: str = "spk.monitor") -> Recording:
        """Begin to listen."""
        return Recording(source, self._new_file("raw"))

    def kill(self) -> None:
        """As if everything was unplugged."""
        self._server.kill()
        self._server.wait(10)
        for client in self._clients:
            client.wait(10)

    def _new_file(self, suffix: str) -> Path:
        self._num_files += 1
        return self._folder / f"sound-{self._num_files}.{suffix}"


@pytest.fixture
def pulse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pulse]:
    """A fresh server; this process and its children find no other one."""
    missing = missing_packages()
    if missing:
        pytest.skip(f"needs apt-get install {' '.join(missing)}")
    for name in [name for name in os.environ if name.startswith("PULSE_")]:
        monkeypatch.delenv(name)
    with tempfile.TemporaryDirectory(
        prefix="pulse"
    ) as folder:  # short: the path of a socket has 107 characters
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        server = Pulse(tmp_path)
        import sounddevice

        sounddevice._terminate()  # it lists devices once, when it starts
        sounddevice._initialize()
        yield server
        server.kill()
