"""`serve --record`: what is stored, for whose eyes, within which bounds; and that `replay` says the same again."""

import asyncio
import json
import stat
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from seamless_stream.audio.pcm import to_bytes
from seamless_stream.cli import replay
from seamless_stream.cli.parser import parse
from seamless_stream.engine.engine import Engine
from seamless_stream.engine.worker import Item, Worker, WorkerSession
from seamless_stream.errors import SettingsError
from seamless_stream.events import Event, Final
from seamless_stream.server import recording
from seamless_stream.server.recording import AU_HEAD, AUDIO, EVENTS, INPUTS, SETTINGS, Recorder
from seamless_stream.settings import SessionSettings
from tests.engine.test_engine import TALK
from tests.fakes import FakeTranslator
from tests.server.serving import running
from tests.server.test_native import change, native, of, send, talk

SPANISH = SessionSettings(target_languages=("spa",), task="s2tt")


def record(
    folder: Path, max_bytes: int = 1 << 30, kind: type[Recorder] = Recorder
) -> tuple[list[Path], list[Event]]:
    """One session, in Spanish and then in English."""
    recorder = kind(folder, "fake", max_bytes)
    events: list[Event] = []
    with Worker(Engine(FakeTranslator()), (recorder,)) as worker:
        session = worker.open(SPANISH, events.extend)
        session.push(TALK)
        session.change_targets(("eng",))
        session.push(TALK)
        session.finish()
        assert session.wait(20)
    recorder.close()
    return sorted(folder.iterdir()), events


def test_a_recording_is_whole_private_and_says_the_same_again(tmp_path: Path) -> None:
    [folder], events = record(tmp_path / "deep" / "er")
    assert {path.name for path in folder.iterdir()} == {SETTINGS, AUDIO, INPUTS, EVENTS}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    stored = replay.load(folder)
    assert np.array_equal(stored.samples, np.concatenate([TALK, TALK]))
    assert stored.settings.session == SPANISH and stored.settings.model.name == "fake"
    finals = sorted((e.segment, e.language, e.text) for e in events if isinstance(e, Final))
    assert stored.texts == finals and {language for _, language, _ in finals} == {"spa", "eng"}
    assert replay.replay(Engine(FakeTranslator()), stored) == finals
    assert stored.events[-1] == {"type": "Ended", "error": None}


def test_a_difference_is_shown(tmp_path: Path) -> None:
    [folder], _ = record(tmp_path)
    path = folder / EVENTS
    text = path.read_text(encoding="utf-8")
    first = next(json.loads(line) for line in text.splitlines() if '"Final"' in line)["text"]
    path.write_text(text.replace(f'"text": "{first}"', '"text": "something else"', 1), encoding="utf-8")
    stored, console = replay.load(folder), Console(record=True, width=200)
    assert not replay.compare(stored, replay.replay(Engine(FakeTranslator()), stored), console)
    printed = console.export_text()
    assert "different" in printed and "- 0 spa something else" in printed and f"+ 0 spa {first}" in printed


def test_a_recording_ends_where_its_room_does(tmp_path: Path) -> None:
    [folder], events = record(tmp_path, max_bytes=50_000)
    sizes = sum(path.stat().st_size for path in folder.iterdir())
    assert sizes < 51_000 and '"Truncated"' in (folder / EVENTS).read_text(encoding="utf-8")
    assert any(isinstance(event, Final) for event in events)  # the session went on


@pytest.mark.parametrize("is_full_at_first", [True, False])
def test_on_a_full_disk_the_session_goes_on(
    tmp_path: Path, is_full_at_first: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        if is_full_at_first:
            monkeypatch.setattr(recording, "MIN_FREE_BYTES", 1 << 62)
        else:  # of what ends a write, the one that needs no disk of its own
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        folders, events = record(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sum(isinstance(event, Final) for event in events) > 4
    [line] = [entry.message for entry in caplog.records if entry.levelname == "ERROR"]
    assert line.startswith("a recording ends: ")
    if is_full_at_first:
        assert "MiB are free" in line and not folders
    else:
        assert "File too large" in line and 0 < len(replay.load(folders[0]).samples) < len(TALK)


class LateRecorder(Recorder):
    """Hears of audio when the model could long be done with it."""

    def pushed(self, session: WorkerSession, item: Item) -> None:
        time.sleep(0.2)
        super().pushed(session, item)


def test_a_recording_is_whole_however_late_it_is_told(tmp_path: Path) -> None:
    [folder], events = record(tmp_path, kind=LateRecorder)
    stored = replay.load(folder)
    assert len(stored.texts) == sum(isinstance(event, Final) for event in events) > 4
    assert stored.is_finished


def test_what_a_crash_leaves_can_be_read(tmp_path: Path) -> None:
    [folder], _ = record(tmp_path)
    for name, cut in ((AUDIO, 4 * 100), (EVENTS, 7), (INPUTS, 3)):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:-cut])
    stored = replay.load(folder)
    assert len(stored.samples) == 2 * len(TALK) - 100 and not stored.is_finished
    assert (folder / AUDIO).read_bytes().startswith(AU_HEAD)
    assert replay.replay(Engine(FakeTranslator()), stored) == stored.texts[:-1]  # the last one needs the end


def test_a_served_session_is_stored_under_its_name(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "fake", 1 << 30)

    async def scenario() -> list[Any]:
        async with running(observers=(recorder,)) as server, native(server) as socket:
            await send(socket, change(output={"language": "es"}))
            return await talk(socket)

    found = asyncio.run(scenario())
    recorder.close()
    session = of(found, "session.created")[0]["session"]["id"]
    [folder] = tmp_path.iterdir()
    assert folder.name.endswith(session)
    stored = replay.load(folder)
    assert to_bytes(stored.samples) == to_bytes(TALK) and stored.is_finished
    assert [text for _, _, text in stored.texts] == [f["text"] for f in of(found, "segment.final")]


def test_the_command_replays_all_recordings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = record(tmp_path)[0][0]
    translator = SimpleNamespace(engine=Engine(FakeTranslator()))
    monkeypatch.setattr(replay, "load_translator", lambda *_: translator)
    assert replay.run(parse(["replay", str(tmp_path)])) == 0
    path = folder / EVENTS
    path.write_text(path.read_text(encoding="utf-8").replace("w10", "w11"), encoding="utf-8")
    assert replay.run(parse(["replay", str(folder)])) == replay.DIFFERENT
    printed = capsys.readouterr().out
    assert "1 of 1 as they were" in printed and "0 of 1 as they were" in printed


def test_a_folder_that_cannot_be_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="record_dir"):
        Recorder(tmp_path / "file", "fake", 1 << 30)
    with pytest.raises(SettingsError, match="recordings"):
        replay._recordings(tmp_path)
