"""`seamless-stream doctor`: what works here, what is missing, and the command that fixes it."""

import os
import platform
import shutil
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console

from seamless_stream import __version__
from seamless_stream.cli.shared import consoles
from seamless_stream.devices import list_devices
from seamless_stream.errors import AudioError, SeamlessStreamError


@dataclass(frozen=True)
class Finding:
    """One line of the report; `fix` is the command for what is missing."""

    what: str
    is_fine: bool
    detail: str
    fix: str = ""
    is_needed: bool = True  # False: the main job works without it


def run(arguments: Namespace) -> int:
    """0 when everything that is needed is there, else 1."""
    out, _ = consoles(arguments)
    out.print(f"seamless-stream {__version__}")
    findings = [check() for check in CHECKS]
    for finding in findings:
        _show(out, finding)
    missing = [finding for finding in findings if finding.is_needed and not finding.is_fine]
    out.print("ready." if not missing else f"{len(missing)} needed things are missing.")
    return 1 if missing else 0


def _show(out: Console, finding: Finding) -> None:
    mark = "ok  " if finding.is_fine else "MISS" if finding.is_needed else "no  "
    out.print(f"{mark} {finding.what:<12} {finding.detail}")
    if not finding.is_fine and finding.fix:
        out.print(f"     fix: {finding.fix}")


def _reason(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:150]


def python() -> Finding:
    """The interpreter and the machine."""
    version = sys.version_info
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    is_fine = (3, 11) <= (version.major, version.minor) < (3, 14)
    return Finding("python", is_fine, detail, "install Python 3.11, 3.12 or 3.13")


def torch() -> Finding:
    """The library, its threads and its devices."""
    try:
        import torch as library
    except (ImportError, OSError) as error:
        return Finding("torch", False, _reason(error), "pip install torch")
    devices = ["cpu"] + [library.cuda.get_device_name(i) for i in range(library.cuda.device_count())]
    devices += ["mps"] if library.backends.mps.is_available() else []
    detail = f"{library.__version__}, {library.get_num_threads()} threads, devices: {', '.join(devices)}"
    return Finding("torch", True, detail)


def sound_files() -> Finding:
    """libsndfile and what it reads."""
    try:
        import soundfile
    except (ImportError, OSError) as error:
        return Finding("sound files", False, _reason(error), "pip install soundfile")
    wanted = {"WAV": "wav", "FLAC": "flac", "OGG": "ogg, opus", "MP3": "mp3"}
    known = soundfile.available_formats()
    names = [name for key, name in wanted.items() if key in known]
    is_fine = len(names) == len(wanted)
    detail = f"{', '.join(names)} ({soundfile.__libsndfile_version__})"
    return Finding("sound files", is_fine, detail, "pip install --upgrade soundfile")


def media() -> Finding:
    """PyAV for containers."""
    try:
        import av
    except (ImportError, OSError) as error:
        fix = "pip install 'seamless-stream[media]'"
        return Finding("media files", False, f"no m4a, mp4, webm: {_reason(error)}", fix, is_needed=False)
    return Finding("media files", True, f"m4a, mp4, webm (PyAV {av.__version__})")


def sound_card() -> Finding:
    """Microphones, loudspeakers and loopbacks, and which `live` takes when none is named."""
    try:
        devices = list_devices()
    except AudioError as error:
        fix = (
            "apt-get install libportaudio2"
            if sys.platform == "linux"
            else "pip install --upgrade sounddevice"
        )
        return Finding("sound card", False, f"files and pipes only: {_reason(error)}", fix, is_needed=False)
    counts = Counter(device.kind for device in devices)
    found = [
        f"{counts[kind]} {kind}{'' if counts[kind] == 1 else 's'}" for kind in ("input", "output", "loopback")
    ]
    defaults = [f"{device.kind} {device.name}" for device in devices if device.is_default]
    detail = ", ".join(found) + (f"; default {', '.join(defaults)}" if defaults else "")
    fix = "plug in a microphone or a headset; `seamless-stream devices` lists what is there"
    return Finding("sound card", bool(devices), detail, fix, is_needed=False)


def vad() -> Finding:
    """Silero's weights, by hearing a second of silence."""
    try:
        from seamless_stream.models.vad import SileroVad

        SileroVad()
    except Exception as error:
        return Finding(
            "vad",
            False,
            f"silero: {_reason(error)}",
            "pip install --force-reinstall --no-deps seamless-stream",
        )
    return Finding("vad", True, "silero and webrtc")


def hub() -> Finding:
    """The cache of downloaded checkpoints."""
    from huggingface_hub import constants

    cache = place = os.path.abspath(constants.HF_HUB_CACHE)  # of a relative path there may be no part
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    free_gb = shutil.disk_usage(place).free / 1e9
    is_fine = os.access(place, os.W_OK)
    offline = ", HF_HUB_OFFLINE is set: nothing is downloaded" if constants.HF_HUB_OFFLINE else ""
    fix = "export HF_HOME=/a/directory/you/can/write"
    return Finding("hub cache", is_fine, f"{cache}, {free_gb:.0f} GB free{offline}", fix, is_needed=False)


def model() -> Finding:
    """Which checkpoint `auto` takes, and whether it is whole."""
    from seamless_stream.models.checkpoint import resolve, verify

    try:
        files = resolve("auto", offline=True)
        problems = verify(files)
    except SeamlessStreamError as error:
        return Finding("model auto", False, str(error), "seamless-stream models pull v2-large")
    if problems:
        return Finding("model auto", False, problems[0], f"seamless-stream models pull {files.name}")
    return Finding("model auto", True, files.description)


CHECKS: tuple[Callable[[], Finding], ...] = (python, torch, sound_files, media, sound_card, vad, hub, model)
