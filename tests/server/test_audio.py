"""More of audio: Opus packets, framed messages, what was played, what should not be spoken, when words were said."""

import asyncio
import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from seamless_stream.audio.pcm import Samples, to_bytes
from seamless_stream.audio.resample import Resampler
from seamless_stream.events import Decided, Event, Final, SegmentEnded, SegmentStarted, Skipped, Speech
from seamless_stream.server.captions import Captions
from seamless_stream.server.intake import MAX_PAUSE_S, Intake
from seamless_stream.server.messages import SegmentEnded as Ended
from seamless_stream.server.messages import SegmentFinal, Word
from seamless_stream.server.protocol import FIRST, HEADER, HEADER_BYTES, LAST, TORN
from seamless_stream.server.pulse import Pulse
from tests.engine.test_engine import TALK
from tests.server.serving import running
from tests.server.test_native import FAST, change, close_code, native, of, send, talk, until


def opus_packets(samples: Samples) -> list[bytes]:
    """20 ms each, as browsers make them."""
    av = pytest.importorskip("av")
    resampler = Resampler(16_000, 48_000)
    wide = np.concatenate([resampler.push(samples), resampler.flush(), np.zeros(960, np.float32)])
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = 48_000, "mono", "flt", 64_000
    packets = []
    for start in range(0, len(wide) - 959, 960):
        frame = av.AudioFrame.from_ndarray(wide[None, start : start + 960], format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets


def framed(kind: int, number: int, first_sample: int, data: bytes) -> bytes:
    return HEADER.pack(1, kind, 0, number, first_sample, 0, len(data)) + data


def test_opus_finds_the_segments_of_the_samples() -> None:
    form = {"type": "audio/pcm", "encoding": "opus", "rate": 48_000, "channels": 1}
    packets = opus_packets(TALK)

    async def scenario() -> tuple[list[Any], list[Any], int | None]:
        async with running() as server:
            async with native(server) as socket:
                plain = await talk(socket, FAST)
            async with native(server) as socket:
                [created] = await until(socket, "session.created")
                assert "opus" in created["session"]["capabilities"]["input_encodings"]
                await send(socket, FAST, change(input={"format": form}), *packets, {"type": "session.close"})
                found = await until(socket, "session.closed")
            async with native(server) as socket:
                await send(socket, FAST, change(input={"format": form}), packets[0], b"\xff\xff")
                [*_, error] = await until(socket, "error")
                assert error["error"]["code"] == "misframed_audio"
                return plain, found, await close_code(socket)

    plain, found, code = asyncio.run(scenario())
    starts = [[f["start_ms"] for f in of(each, "segment.final")] for each in (plain, found)]
    assert starts[1] == pytest.approx(starts[0], abs=60) and len(starts[0]) == 3
    assert found[-1]["usage"]["audio_in_ms"] == 20 * len(packets)
    assert code == 4400


def test_opus_needs_its_rate() -> None:
    async def scenario() -> dict[str, Any]:
        async with running() as server, native(server) as socket:
            await send(socket, change(input={"format": {"encoding": "opus", "rate": 16_000}}))
            error: dict[str, Any] = (await until(socket, "error"))[-1]["error"]
            return error

    assert asyncio.run(scenario())["param"] == "session.audio.input.format.encoding"


def test_framed_messages_know_their_place() -> None:
    """One is sent twice, and a pause is not sent at all: the answer is that of the whole."""
    pcm, step = to_bytes(TALK), 3_200
    frames = [
        framed(1, n, n * step // 2, pcm[n * step : (n + 1) * step]) for n in range(-(-len(pcm) // step))
    ]
    silent = [n for n in range(len(frames)) if not any(frames[n][HEADER_BYTES:])]
    twice = [frame for n, frame in enumerate(frames) if n not in silent for _ in range(1 + (n % 5 == 0))]
    assert silent and len(twice) > len(frames) - len(silent)

    async def scenario(*messages: bytes) -> list[Any]:
        async with running() as server, native(server) as socket:
            await send(
                socket, FAST, change(input={"framing": "header"}), *messages, {"type": "session.close"}
            )
            return await until(socket, "session.closed")

    whole, parts = asyncio.run(scenario(*frames)), asyncio.run(scenario(*twice))
    blank = {"seq": 0, "event_id": "", "lag_ms": 0}
    for kind in ("segment.final", "segment.audio_done"):
        assert [item | blank for item in of(whole, kind)] == [item | blank for item in of(parts, kind)]
    assert len(of(whole, "segment.final")) == 3 and not of(parts, "error")


@pytest.mark.parametrize(
    "message",
    [
        b"short",
        framed(2, 0, 0, bytes(4)),
        framed(1, 0, 0, bytes(4))[:-1],
        framed(1, 0, (MAX_PAUSE_S + 1) * 16_000, bytes(4)),
        b"\x02" + framed(1, 0, 0, bytes(4))[1:],
    ],
)
def test_a_wrong_frame_ends_the_connection(message: bytes) -> None:
    async def scenario() -> tuple[str, int | None]:
        async with running() as server, native(server) as socket:
            await send(socket, FAST, change(input={"framing": "header"}), message)
            [*_, error] = await until(socket, "error")
            return error["error"]["code"], await close_code(socket)

    assert asyncio.run(scenario()) == ("misframed_audio", 4400)


def test_an_overlap_is_heard_once() -> None:
    intake = Intake("s16le", 16_000, 60_000, is_paced=False)
    intake.push(to_bytes(np.full(1_600, 0.5, np.float32)), 0)
    intake.push(to_bytes(np.full(1_600, 0.25, np.float32)), 800)
    intake.push(to_bytes(np.full(100, 0.125, np.float32)), 3_200)
    heard = []
    while (item := intake.take(0.0)) is not None:
        heard.append(item)
    samples = np.concatenate(heard)  # type: ignore[arg-type]
    values, counts = np.unique(samples, return_counts=True)
    assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == {
        0.0: 800,
        0.125: 100,
        0.25: 800,
        0.5: 1_600,
    }
    assert intake.received_samples == 3_300


def spoken(segment: int) -> Speech:
    return Speech(segment, "spa", np.ones(1_600, np.float32) / 2, 16_000)


def test_what_was_cleared_is_not_spoken_and_what_follows_is() -> None:
    captions = Captions("native", 16_000, targets=("spa",))
    start = [SegmentStarted(0, 0.0), spoken(0)]
    found = [message for event in start for message in captions.convert(event, 0)]
    assert captions.silence() == [1_600]
    rest = [spoken(0), SegmentEnded(0, 0.0, 1.0, "silence"), SegmentStarted(1, 2.0), spoken(1)]
    after = [message for event in rest for message in captions.convert(event, 0)]
    frames = [HEADER.unpack(m[:HEADER_BYTES]) for m in found + after if isinstance(m, bytes)]
    assert [(frame[4], frame[5]) for frame in frames] == [(0, 0), (1_600, 0), (1_600, 1)]
    assert frames[1][6] == 0  # it only says that the first is over


def test_clear_is_answered_and_the_heartbeat_counts_what_was_not_played() -> None:
    async def scenario() -> dict[str, Any]:
        async with running() as server, native(server) as socket:
            await send(socket, FAST, to_bytes(TALK), {"type": "input_audio.flush", "marker": "m"})
            found = await until(socket, "input_audio.flushed")
            said = sum(done["samples"] for done in of(found, "segment.audio_done"))
            await send(socket, {"type": "output_audio.played", "up_to_sample": said - 1_600})
            await send(socket, {"type": "output_audio.clear"})
            [*_, cleared] = await until(socket, "output_audio.cleared")
            assert cleared["next_samples"] == [said] and said > 0
            [session] = list(server.app._sessions)
            beats = Pulse(0.0, 10_000).beat(9.0, None, 0, session._sound.unplayed_ms)
            return json.loads(json.dumps(next(beat.__dict__ for beat in beats)))  # type: ignore[no-any-return]

    assert asyncio.run(scenario())["speech_backlog_ms"] == 100


def test_frames_say_where_they_stand() -> None:
    captions = Captions("native", 16_000, targets=("spa", "eng"))
    speech = np.ones(320, np.float32)
    events: list[Event] = [
        SegmentStarted(0, 0.0),
        Speech(0, "spa", speech, 16_000),
        Speech(0, "eng", speech, 16_000),
        Skipped(0, "speech", "speech is behind: x", "eng"),
        Speech(0, "spa", speech, 16_000),
        SegmentEnded(0, 0.0, 1.0, "silence"),
        SegmentStarted(1, 2.0),
        Speech(1, "spa", speech, 16_000),
        Speech(1, "eng", speech, 16_000),
    ]
    found = [message for event in events for message in captions.convert(event, 0)]
    [next_spa, _] = captions.silence()
    late: list[Event] = [
        Speech(1, "spa", speech, 16_000),
        SegmentEnded(1, 2.0, 3.0, "end_of_stream"),
        SegmentStarted(2, 4.0),
        Speech(2, "spa", speech, 16_000),
    ]
    found += [message for event in late for message in captions.convert(event, 0)]
    headers = [HEADER.unpack(frame[:HEADER_BYTES]) for frame in found if isinstance(frame, bytes)]
    told = [(segment, flags >> 8, flags & 0xFF, size // 2) for _, _, flags, _, _, segment, size in headers]
    assert told == [
        *[(0, 0, FIRST, 320), (0, 1, FIRST, 320), (0, 0, 0, 320), (0, 0, LAST, 0), (0, 1, LAST, 0)],
        *[(1, 0, FIRST, 320), (1, 1, FIRST | TORN, 320)],  # what was skipped lies before it
        *[(1, 0, LAST, 0), (1, 1, LAST, 0), (2, 0, FIRST | TORN, 320)],  # the client has cleared
    ]
    assert headers[-1][4] == next_spa


def test_a_final_says_why_and_how_late() -> None:
    captions = Captions("native", 16_000, targets=("spa",), age_ms=lambda place_ms: place_ms // 10)
    told = []
    for number, (reason, ended_by) in enumerate(
        [("silence", "close"), ("soft_max", "close"), ("hard_max", "drain")]
        + [("end_of_stream", by) for by in ("flush", "close", "drain")]
    ):
        captions.ended_by = ended_by  # type: ignore[assignment]
        final = Final(number, "spa", "Hola.", 1.0, 3.0, reason=reason)
        events: list[Event] = [SegmentStarted(number, 1.0), final, SegmentEnded(number, 1.0, 3.0, reason)]
        messages = [message for event in events for message in captions.convert(event, 0)]
        told += [
            (m.reason, getattr(m, "lag_ms", None)) for m in messages if isinstance(m, SegmentFinal | Ended)
        ]
    reasons = ["silence", "pause", "max_length", "flush", "close", "drain"]
    assert told == [(reason, lag_ms) for reason in reasons for lag_ms in (300, None)]


def test_words_have_times() -> None:
    captions = Captions("native", 16_000, targets=("spa",))
    decided = Decided(
        0, "spa", 1.0, 2.6, ("▁La", "▁ca", "sa", ".", "▁x"), (0, 2, 3, 3, 9), 10, 0, 4, 5, 5, "end", 0, ""
    )
    events = [SegmentStarted(0, 1.0), decided, Final(0, "spa", "La casa.", 1.0, 2.6)]
    [_, final] = [message for event in events for message in captions.convert(event, 0)]
    assert isinstance(final, SegmentFinal)
    assert final.words == [Word("La", 1_000, 1_160), Word("casa.", 1_320, 1_640)]


def test_words_are_told_where_they_are_asked_for() -> None:
    words = {"type": "session.update", "session": {"captions": {"words": True}}}

    async def scenario(*configure: dict[str, Any]) -> list[Any]:
        async with running() as server, native(server) as socket:
            return await talk(socket, *configure)

    with_words, without = asyncio.run(scenario(FAST, words)), asyncio.run(scenario(FAST))
    assert all(final["words"] is None for final in of(without, "segment.final"))
    for final in of(with_words, "segment.final"):
        assert " ".join(word["text"] for word in final["words"]) == final["text"]
        assert all(final["start_ms"] <= word["start_ms"] < word["end_ms"] for word in final["words"])
        assert final["words"][-1]["end_ms"] <= final["end_ms"] + 20
