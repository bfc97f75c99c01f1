"""`seamless-stream conformance`: the checks of `client.conformance` against one server, as a table."""

import os
from argparse import Namespace
from pathlib import Path

from rich.table import Table

import seamless_stream
from seamless_stream.audio.files import read
from seamless_stream.cli.connect import KEY
from seamless_stream.cli.shared import consoles
from seamless_stream.client.conformance import CHECKS, Result, Target, run_checks

STYLES = {"pass": "green", "fail": "red", "skipped": "yellow"}


def run(arguments: Namespace) -> int:
    """0 where nothing has failed, else 1."""
    out, notes = consoles(arguments)
    sample = Path(seamless_stream.__file__).parent / "checkpoints" / "samples" / "english.flac"
    speech = read(arguments.source or sample)
    key = arguments.key or os.environ.get(KEY)
    target = Target(arguments.url, arguments.to, speech, key, arguments.patience)
    num_done = 0

    def told(result: Result) -> None:
        nonlocal num_done
        num_done += 1
        notes.print(f"{num_done}/{len(CHECKS)} {result.name}: {result.outcome}")

    results = run_checks(target, told)
    table = Table("check", "", "promise, or what is wrong with it")
    for result in results:
        text = f"{result.outcome}: {result.reason}" if result.reason else result.promise
        table.add_row(result.name, result.outcome, text, style=STYLES[result.outcome])
    out.print(table, soft_wrap=False)
    counts = [f"{sum(r.outcome == outcome for r in results)} {outcome}" for outcome in STYLES]
    out.print(", ".join(counts))
    return int(any(result.outcome == "fail" for result in results))
