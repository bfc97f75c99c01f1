"""`seamless-stream models` and `languages`: what there is, without loading any weights."""

from argparse import Namespace

from rich.console import Console
from rich.table import Table

from seamless_stream.cli import complain
from seamless_stream.cli.shared import consoles
from seamless_stream.errors import CheckpointError, LanguageError, SettingsError
from seamless_stream.models.checkpoint import CheckpointFiles, list_checkpoints, pull, resolve, verify
from seamless_stream.models.languages import bcp47, language_name
from seamless_stream.models.registry import capabilities


def run(arguments: Namespace) -> int:
    """The exit status; raises CheckpointError, SettingsError."""
    out, notes = consoles(arguments)
    if arguments.command == "languages":
        return _languages(arguments, out, notes)
    if arguments.action == "list":
        return _list(out)
    if arguments.name is None:
        raise SettingsError(f"`models {arguments.action}` needs a name, for example v2-large.")
    if arguments.action == "pull":
        out.print(str(pull(arguments.name, revision=arguments.revision).directory))
        return 0
    files = resolve(arguments.name, revision=arguments.revision, offline=True)
    if arguments.action == "path":
        out.print(str(files.directory))
        return 0
    return _verify(files, out)


def _list(out: Console) -> int:
    for listed in list_checkpoints():
        known, millions, gigabytes = listed.known, listed.million_parameters, listed.gigabytes
        size = "size unknown" if millions is None else f"{millions:.1f} M parameters"
        disk = "" if gigabytes is None else f"{gigabytes * 1000:.0f} MB"
        here = "here" if listed.files is not None else "not here"
        out.print(f"{known.name:<33} {here:<9} {size:<20} {disk:<8} {known.licence}")
        out.print(f"    {known.family}: {' '.join(known.tasks)}; {known.scope}")
    try:
        out.print(f"\nauto takes {resolve('auto', offline=True).name} here")
    except CheckpointError as error:
        out.print(f"\nauto finds nothing here: {error}")
    return 0


def _verify(files: CheckpointFiles, out: Console) -> int:
    problems = verify(files)
    for problem in problems:
        complain(problem)
    if problems:
        return CheckpointError.exit_status
    out.print(f"{files.name}: whole, {files.identity} ({files.directory})")
    return 0


def _languages(arguments: Namespace, out: Console, notes: Console) -> int:
    files = resolve(arguments.model, offline=True)
    told = capabilities(files)
    notes.print(f"model: {files.description}")
    word = (arguments.search or "").casefold()
    table = Table(box=None, pad_edge=False)
    for column in ("code", "tag", "language", "text", "voice"):
        table.add_column(column)
    for code in sorted({*told.source_languages, *told.target_languages}):
        row = (code, bcp47(code), language_name(code))
        if any(word in cell.casefold() for cell in row):
            table.add_row(
                *row,
                "yes" if code in told.target_languages else "no",
                "yes" if code in told.speech_languages else "no",
            )
    if not table.row_count:
        raise LanguageError(f"No language of this checkpoint has `{arguments.search}` in its code or name.")
    out.print(table)
    return 0
