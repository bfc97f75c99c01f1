"""Measure the memory and time of loading a checkpoint, each case in a process of its own.

    python -m tools.measure_loading DIR [--dtype float32 bfloat16] [--tasks all s2tt]

The promise: peak memory is at most the loaded parameters in their target dtype, plus the largest tensor on disk,
plus 0.5 GB. The peak is the kernel's own (`ru_maxrss`); beside it, `/proc/self/status` is sampled every 10 ms and
split into memory of the process and mapped files. Linux only. Exits with 1 if a case breaks the promise.
"""

import argparse
import json
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

ALLOWANCE_BYTES = 500_000_000
SAMPLE_PERIOD_S = 0.01
KINDS = ("RssAnon", "RssFile")


def _status() -> dict[str, int]:
    """Bytes of anonymous and of file-backed resident memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return {kind: int(fields[kind].split()[0]) * 1024 for kind in KINDS}


class _Sampler(threading.Thread):
    """Highest values of `_status` until `stop` is called."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.highest = _status()
        self.done = threading.Event()

    def run(self) -> None:
        """Sample until told to stop."""
        while not self.done.wait(SAMPLE_PERIOD_S):
            self.highest = {kind: max(value, self.highest[kind]) for kind, value in _status().items()}

    def stop(self) -> dict[str, int]:
        """The highest values seen."""
        self.done.set()
        self.join()
        return self.highest


def measure(directory: str, dtype_name: str, tasks: str) -> dict[str, Any]:
    """Load in this process, which should be a fresh one; returns bytes and seconds."""
    import torch

    from seamless_stream.models.checkpoint import resolve
    from seamless_stream.models.registry import load_files

    files = resolve(directory, offline=True)
    largest = max(info.nbytes for info in files.tensors.infos.values())
    sampler = _Sampler()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sampler.start()
    started = time.perf_counter()
    wanted = None if tasks == "all" else tasks.split(",")
    model = load_files(files, device="cpu", dtype=getattr(torch, dtype_name), tasks=wanted)  # type: ignore[arg-type]
    seconds = time.perf_counter() - started
    highest = sampler.stop()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    network: torch.nn.Module = model.network  # type: ignore[attr-defined]
    held = {value.data_ptr(): value.nbytes for value in (*network.parameters(), *network.buffers())}
    return {
        "before": before,
        "loaded": sum(held.values()),
        "largest": largest,
        "peak": peak,
        "seconds": seconds,
        **highest,
    }


def _in_fresh_process(directory: str, dtype_name: str, tasks: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tools.measure_loading", directory, "--case", dtype_name, tasks]
    result: dict[str, Any] = json.loads(
        subprocess.run(command, check=True, capture_output=True, text=True).stdout
    )
    return result


def _report(dtype_name: str, tasks: str, case: dict[str, Any]) -> bool:
    """Print one row in GB (10^9 bytes); true where the promise is kept."""
    bound = case["loaded"] + case["largest"] + ALLOWANCE_BYTES
    values = [case[name] / 1e9 for name in ("before", "loaded", "largest", "peak")] + [bound / 1e9]
    values += [case[kind] / 1e9 for kind in KINDS]
    kept = bool(case["peak"] <= bound)
    numbers = " ".join(f"{value:8.3f}" for value in values)
    print(
        f"{dtype_name:9} {tasks:5} {numbers} {case['seconds']:7.1f} s  {'kept' if kept else 'BROKEN'}",
        flush=True,
    )
    return kept


def main() -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory")
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument(
        "--tasks", nargs="+", default=["all", "s2tt"], help="`all`, or tasks joined by commas"
    )
    parser.add_argument("--case", nargs=2, metavar=("DTYPE", "TASKS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(arguments.directory, *arguments.case)))
        return 0
    names = ("before", "loaded", "largest", "peak", "allowed", *KINDS)
    print(f"{'dtype':9} {'tasks':5} {' '.join(f'{name:>8}' for name in names)}    time     (GB)")
    kept = [
        _report(dtype_name, tasks, _in_fresh_process(arguments.directory, dtype_name, tasks))
        for dtype_name in arguments.dtype
        for tasks in arguments.tasks
    ]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
