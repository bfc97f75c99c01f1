"""The house rules that a machine can hold: layers, threads, asyncio, torch, print, sizes."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "seamless_stream"
LAYERS = [
    "errors settings events",
    "audio nn devices",
    "models",
    "engine",
    "sources sinks",
    "server evaluation",
    "client",
    "cli",
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer.split()}
# Within the first layer: settings raise errors.
ALLOWED_SIDEWAYS = {("settings", "errors"), ("sinks", "audio"), ("models", "nn")}
MAX_FILE_LINES = 450
MAX_FUNCTION_LINES = 60

FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def home(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names of all imports, those inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def upward_imports(place: str, tree: ast.AST) -> list[str]:
    """Imports of the package that do not point downwards from `place`."""
    found = []
    for name in imported(tree):
        parts = name.split(".")
        if parts[0] != "seamless_stream" or len(parts) < 2 or parts[1] not in RANK:
            continue
        target = parts[1]
        is_fine = target == place or RANK[target] < RANK[place] or (place, target) in ALLOWED_SIDEWAYS
        if not is_fine:
            found.append(f"{place} imports {name}")
    return found


def users(name: str) -> list[str]:
    """Files that import a module or mention it as `module.attribute`."""
    return [
        str(path.relative_to(PACKAGE))
        for path, tree in TREES.items()
        if any(item == name or item.startswith(f"{name}.") for item in imported(tree))
    ]


def test_there_is_something_to_check() -> None:
    assert len(FILES) > 20
    assert {home(path) for path in FILES} - {"__init__", "__main__"} <= set(RANK)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path: Path) -> None:
    if home(path) not in ("__init__", "__main__"):
        assert not upward_imports(home(path), TREES[path])


def test_planted_upward_import_is_found() -> None:
    hidden = ast.parse("def f():\n    from seamless_stream.engine.engine import Engine\n")
    assert upward_imports("models", hidden) == ["models imports seamless_stream.engine.engine.Engine"]
    assert upward_imports("audio", ast.parse("import seamless_stream.nn.state"))


def test_who_starts_threads() -> None:
    """The model's, the recorder's, that of the client without asyncio, and the one in which a source may wait."""
    starters = {
        "Thread",
        "Timer",
        "ThreadPoolExecutor",
        "ProcessPoolExecutor",
        "to_thread",
        "run_in_executor",
    }

    def starts_threads(tree: ast.AST) -> bool:
        names = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Name))
        return any(_name(node) in starters for node in names)

    found = [str(path.relative_to(PACKAGE)) for path, tree in TREES.items() if starts_threads(tree)]
    assert found == ["client/session.py", "client/sync.py", "engine/worker.py", "server/recording.py"]
    assert not users("multiprocessing")


def _name(node: ast.Attribute | ast.Name) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id


def test_only_the_server_and_its_client_know_asyncio() -> None:
    assert all(name.startswith(("server/", "client/")) for name in users("asyncio"))


def test_torch_stays_out_of_audio_and_scheduler() -> None:
    without = [name for name in users("torch") if name.startswith("audio/") or name == "engine/scheduler.py"]
    assert not without
    assert "engine/runner.py" in users("torch")


def test_print_is_for_the_command_line_and_sinks() -> None:
    def prints(tree: ast.AST) -> bool:
        return any(
            isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            for node in ast.walk(tree)
        )

    found = [path for path, tree in TREES.items() if prints(tree)]
    assert all(home(path) in ("cli", "sinks") for path in found)


def test_logging_is_configured_in_the_command_line_only() -> None:
    found = [path for path in FILES if "basicConfig" in path.read_text(encoding="utf-8")]
    assert [home(path) for path in found] == ["cli"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_are_short_and_files_say_what_they_know(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_FILE_LINES
    if text.strip():
        assert ast.get_docstring(TREES[path])
    functions = [n for n in ast.walk(TREES[path]) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    for function in functions:
        assert function.end_lineno is not None
        length = function.end_lineno - function.lineno + 1
        assert length <= MAX_FUNCTION_LINES, f"{function.name} has {length} lines"
