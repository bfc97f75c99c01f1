"""Help, typing errors, and faults of our own."""

import subprocess
import sys

import pytest

from tests.cli.calls import Call


def test_help_is_quick_and_teaches() -> None:
    script = (
        "import sys; from seamless_stream.cli.parser import parse\n"
        "for command in sys.argv[1:]:\n"
        "    try: parse([*command.split(), '--help'])\n"
        "    except SystemExit as stop: assert stop.code == 0\n"
        "    print('----')\n"
        "assert 'torch' not in sys.modules"
    )
    teaching = ["", "translate", "live", "connect", "serve", "evaluate", "models"]
    commands = [*teaching, "languages", "doctor"]
    found = subprocess.run(
        [sys.executable, "-c", script, *commands], capture_output=True, check=True, text=True
    )
    texts = found.stdout.split("----\n")[:-1]
    assert len(texts) == len(commands) and all("usage:" in text for text in texts)
    assert all("examples:" in text for text in texts[: len(teaching)])


def test_typing_errors_get_the_nearest_command(call: Call) -> None:
    status, _, err = call("transalte", "a.wav")
    assert status == 2 and "Did you mean `translate`" in err
    for words in (["doctor", ""], ["live", "--source", "mic", "--to", "es", ""]):
        status, _, err = call(*words)
        assert status == 2 and "unrecognized arguments" in err and "--help" in err


def test_a_fault_of_our_own_is_one_line_and_no_traceback(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seamless_stream.cli.inventory.list_checkpoints", lambda: [][0])
    status, _, err = call("models")
    assert status == 70 and err.startswith("seamless-stream: an internal fault: IndexError: ")
    assert "--verbose shows where" in err and err.count("\n") == 1
