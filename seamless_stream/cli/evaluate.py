"""`seamless-stream evaluate`: recordings with references through sessions, scores, a table, and a plot.

Turns arguments into runs, one folder each; how they are fed, logged and scored is in `evaluation/`.
"""

import json
import os
import platform
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from seamless_stream import __version__
from seamless_stream.audio.files import AudioFile
from seamless_stream.cli.shared import (
    OVERRIDES,
    consoles,
    load_translator,
    output_directory,
    progress_bar,
    settings_of,
)
from seamless_stream.engine.engine import check_session
from seamless_stream.engine.translator import Translator
from seamless_stream.errors import ModelError, SettingsError
from seamless_stream.evaluation.corpus import Recording, read_corpus
from seamless_stream.evaluation.log import LogWriter, read_log
from seamless_stream.evaluation.plot import plot
from seamless_stream.evaluation.quality import Recogniser, open_recogniser
from seamless_stream.evaluation.results import (
    LOG_NAME,
    QUALITIES,
    SPEECH_NAME,
    Result,
    finish,
    latency_name,
    load_results,
    points,
    table,
)
from seamless_stream.evaluation.run import run as play
from seamless_stream.evaluation.simuleval_server import make_server
from seamless_stream.evaluation.trace import Traced, write_trace
from seamless_stream.settings import Settings, Task, check

DEFAULTS = {"pace": "fast"}  # nobody listens
# What each policy trades quality against latency with: the setting below `session.policy`, and values for a curve.
SWEEPS: dict[str, tuple[str, tuple[int, ...]]] = {
    "wait-k": ("wait_k", (1, 3, 5, 7, 9)),
    "hold-n": ("hold_n", (2, 4, 6, 8, 10)),
    "local-agreement": ("decode_every_ms", (320, 640, 960, 1280)),
    "alignatt": ("alignatt_frames", (1, 2, 4, 6, 8)),
}


@dataclass(frozen=True)
class Run:
    """One choice of settings."""

    settings: Settings
    note: str  # what was swept

    @property
    def policy(self) -> str:
        return self.settings.session.policy.name

    @property
    def folder(self) -> str:
        return f"{self.policy} {self.note}".strip().replace(" ", "-").replace("=", "-").replace("/", "-")


def run(arguments: Namespace) -> int:
    """0, or the status of what stopped it; of a model that failed on some segments too."""
    out, notes = consoles(arguments)
    _check_usage(arguments)
    if arguments.simuleval_port is not None:
        return _serve(arguments, notes)
    own: list[Result] = []
    folder = output_directory(arguments.output)
    if arguments.data is not None:
        recordings = read_corpus(arguments.data, arguments.references)[: arguments.limit]
        own = _rescore(arguments, folder, recordings) if arguments.rescore else []
        own = own or _run_all(arguments, folder, recordings, notes)
    results = list(own)
    for other in arguments.compare:
        name = Path(other).name
        results += [replace(result, label=f"{name}: {result.label}") for result in load_results(Path(other))]
    _show(out, results)
    _write(arguments, folder, results, notes)
    if arguments.trace and own:
        _trace(Path(arguments.trace), folder, own, notes)
    return ModelError.exit_status if any(result.scores["num_failed"] for result in results) else 0


def _check_usage(arguments: Namespace) -> None:
    """What is wrong whatever the list holds, before the model is loaded; raises SettingsError."""
    limit, port = arguments.limit, arguments.simuleval_port
    check(
        arguments,
        ("limit", limit is None or limit >= 1, "at least 1"),
        ("chunk_ms", arguments.chunk_ms >= 1, "at least 1"),
        ("simuleval_port", port is None or 0 <= port <= 65_535, "from 0 to 65535"),
    )
    if port is None and arguments.data is None and not arguments.compare:
        raise SettingsError("`--data` must name a list of recordings; see docs/evaluation.md for its forms.")
    if arguments.trace and not Path(arguments.trace).absolute().parent.is_dir():
        raise SettingsError(f"`{arguments.trace}` cannot be written: its directory does not exist.")


def _rescore(arguments: Namespace, folder: Path, recordings: list[Recording]) -> list[Result]:
    """Scores of the logs that are there already."""
    logs = sorted(folder.glob(f"*/{LOG_NAME}"))
    if not logs:
        raise SettingsError(f"`--rescore` needs logs in {folder}, but there are none.")
    recognisers: dict[str, Recogniser] = {}
    return [finish(log.parent, recordings, _recogniser(arguments, log.parent, recognisers)) for log in logs]


def _trace(path: Path, folder: Path, results: list[Result], notes: Console) -> None:
    """The page that explains the waits of these runs; the fewer recordings, the better to read."""
    names = {(result.label, result.note): result.name for result in results}
    logs = [read_log(log) for log in sorted(folder.glob(f"*/{LOG_NAME}"))]
    runs = [((log.header["label"], log.header["note"]), log) for log in logs]
    write_trace(path, [Traced(names[key], log) for key, log in runs if key in names])
    notes.print(f"trace: {path}")


def _recogniser(arguments: Namespace, folder: Path, known: dict[str, Recogniser]) -> Recogniser | None:
    """What the user named, loaded once for the language of a run."""
    if not arguments.recogniser or not (folder / SPEECH_NAME).is_dir():
        return None
    with (folder / LOG_NAME).open(encoding="utf-8") as file:
        language = json.loads(file.readline())["language"]
    if language not in known:
        known[language] = open_recogniser(arguments.recogniser, language)
    return known[language]


def _run_all(arguments: Namespace, folder: Path, recordings: list[Recording], notes: Console) -> list[Result]:
    runs = list(_runs(arguments))
    settings = runs[0].settings
    task: Task = "s2st" if arguments.speech else "s2tt"
    translator = load_translator(settings.model, {task}, notes)
    recognisers: dict[str, Recogniser] = {}
    results = []
    for one in runs:
        place = folder / one.folder
        place.mkdir(exist_ok=True)
        _run_one(arguments, one, place, recordings, translator, notes)
        results.append(finish(place, recordings, _recogniser(arguments, place, recognisers)))
    return results


def _runs(arguments: Namespace) -> Iterator[Run]:
    """Every policy with every value that is swept."""
    chosen = arguments.policy or [None]
    for policy in chosen:
        own = Namespace(**{**vars(arguments), "policy": policy})
        base = settings_of(own, defaults=DEFAULTS)
        key, values = _sweep(arguments.sweep, base.session.policy.name)
        if not values:
            yield Run(base, "")
        else:
            _check_sweep(key, own)
        for value in values:
            own.set = [*arguments.set, f"{key}={value}"]
            yield Run(settings_of(own, defaults=DEFAULTS), f"{key.rpartition('.')[2]}={value}")


def _check_sweep(key: str, arguments: Namespace) -> None:
    """Only what differs from run to run can be swept; raises SettingsError."""
    if key == "session.task" or not (key == "pace" or key.startswith("session.")):
        raise SettingsError(
            f"`--sweep` must be of `pace` or a setting of `session` other than its task, but is of {key}:"
            " all runs share one model."
        )
    for option, path in OVERRIDES.items():
        if f"{path}.".startswith(f"{key}.") and getattr(arguments, option, None) is not None:
            raise SettingsError(
                f"`{path}` must come from `--sweep` or from its own option, but both give it."
            )


def _sweep(sweep: str | None, policy: str) -> tuple[str, list[str]]:
    if sweep is None or (sweep == "" and policy not in SWEEPS):
        return "", []
    if sweep == "":
        key, values = SWEEPS[policy]
        return f"session.policy.{key}", [str(value) for value in values]
    key, separator, text = sweep.partition("=")
    if not separator or not text:
        raise SettingsError(f"`--sweep` must be KEY=VALUE,VALUE, but is {sweep}.")
    return key, [value.strip() for value in text.split(",")]


def _run_one(
    arguments: Namespace,
    one: Run,
    folder: Path,
    recordings: list[Recording],
    translator: Translator,
    notes: Console,
) -> None:
    is_paced = one.settings.pace == "real-time"
    task: Task = "s2st" if arguments.speech else "s2tt"
    asked = replace(one.settings.session, task=task)
    asked = replace(asked, explains=asked.explains or bool(arguments.trace))
    session = check_session(asked, translator.capabilities)
    if len(session.target_languages) > 1:
        raise SettingsError("`--to` must be one language: there is one reference.")
    speech_folder = folder / SPEECH_NAME if arguments.speech else None
    if speech_folder:
        speech_folder.mkdir(exist_ok=True)
    header = {
        "label": one.policy,
        "note": one.note,
        "clock": "wall" if is_paced else "simulated",
        "timer": arguments.timer,
        "language": session.target_languages[0],
        "model": translator.description,
        "device": f"{translator.model.device}, {str(translator.model.dtype).removeprefix('torch.')}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "package": __version__,
        "data": str(arguments.data),
        "chunk_ms": arguments.chunk_ms,
        "settings": asdict(session),
    }
    title = f"{one.policy} {one.note}".strip()
    with LogWriter(folder / LOG_NAME, header) as log, _progress(notes, title, recordings) as advance:
        play(
            translator.engine,
            session,
            recordings,
            log,
            arguments.chunk_ms,
            is_paced=is_paced,
            timer=arguments.timer,
            speech_folder=speech_folder,
            progress=advance,
        )


@contextmanager
def _progress(notes: Console, title: str, recordings: list[Recording]) -> Iterator[Callable[[float], None]]:
    total_s = 0.0
    for recording in recordings:
        with AudioFile(recording.path) as file:
            total_s += file.duration_s or 0.0
    with progress_bar(notes) as progress:
        bar = progress.add_task(title, total=total_s or None)
        yield lambda seconds: progress.advance(bar, seconds)


def _show(out: Console, results: list[Result]) -> None:
    columns, rows = table(results)
    view = Table(box=None, pad_edge=False)
    for i, column in enumerate(columns):
        view.add_column(column, justify="left" if i == 0 else "right", no_wrap=True)
    for row in rows:
        view.add_row(*row)
    widths = [max(map(len, cells)) + 2 for cells in zip(columns, *rows, strict=True)]
    out.width = max(sum(widths), out.width)  # a narrow terminal wraps: a hidden figure is worse
    out.print(view)
    quality = results[0].scores["quality"]
    seconds = sum(result.scores["audio_s"] for result in results[:1])
    out.print(
        f"{results[0].scores['num_recordings']} recordings, {seconds / 60:.1f} min; latencies in s per "
        f"{quality['latency_unit']}; BLEU {quality['bleu_signature']}",
    )


def _write(arguments: Namespace, folder: Path, results: list[Result], notes: Console) -> None:
    text = json.dumps([asdict(result) for result in results], ensure_ascii=False, indent=1)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    is_long = results[0].is_long
    metric = arguments.latency_metric or ("yaal" if is_long else "laal")
    found = points(results, metric, arguments.quality_metric)
    if found:
        header = results[0].header
        title = f"{header['model'].partition(':')[0]}, to {header['language']}, {Path(header['data']).name}"
        for suffix in ("png", "svg"):
            x_name, y_name = latency_name(metric, is_long), QUALITIES[arguments.quality_metric]
            plot(found, folder / f"plot.{suffix}", x_name, y_name, title)
    notes.print(f"results: {folder / 'results.json'}, {folder / 'plot.png'}")


def _serve(arguments: Namespace, notes: Console) -> int:
    """Answer SimulEval until Ctrl-C."""
    one = next(_runs(arguments))
    task: Task = "s2st" if arguments.speech else "s2tt"
    translator = load_translator(one.settings.model, {task}, notes)
    session = check_session(replace(one.settings.session, task=task), translator.capabilities)
    try:
        server = make_server(translator.engine, session, arguments.simuleval_port)
    except OSError as error:
        raise SettingsError(f"`--simuleval-port` {arguments.simuleval_port}: {error.strerror}.") from error
    with server:
        notes.print(f"waiting for: simuleval --remote-eval --remote-port {server.server_port} ...")
        server.serve_forever()
    return 0
