"""Promises about a session with speech in it, most of them looked for in the messages of one and the same."""

import asyncio

from seamless_stream.client.conformance.target import RATE, Broken, Target, Unsuited, Wire, check, need
from seamless_stream.client.wire import KINDS, read
from seamless_stream.errors import RemoteError


async def whole(target: Target) -> Wire:
    """A session that several checks look at; made by the first of them."""
    if target.whole is None:
        target.whole = asyncio.ensure_future(_talk(target))
    return await target.whole


async def _talk(target: Target) -> Wire:
    """The speech, a flush, the speech again, and the close."""
    async with target.socket(is_configured=True) as wire:
        await wire.say(*target.pcm, {"type": "input_audio.flush", "marker": "half"})
        await wire.until("input_audio.flushed")
        await wire.say(*target.pcm, {"type": "session.close"})
        await wire.until("session.closed")
        code = await wire.closed()
        need(code == 1000, f"the close code is {code}")
        need(wire.of("segment.final"), "speech gives no segment.final")
        return wire


@check
async def numbers_its_messages(target: Target) -> None:
    """seq is 0, 1, 2 ... over JSON, the frame number over binary messages; every event_id is another one."""
    wire = await whole(target)
    need([text.get("seq") for text in wire.texts] == list(range(len(wire.texts))), "seq is not 0, 1, 2 ...")
    need(len({text.get("event_id") for text in wire.texts}) == len(wire.texts), "an event_id comes twice")
    need([f.number for f in wire.frames] == list(range(len(wire.frames))), "frames are not 0, 1, 2 ...")


@check
async def keeps_to_its_types(target: Target) -> None:
    """Every message has the fields and the types of /v1/schema.json."""
    wire = await whole(target)
    for text in wire.texts:
        if text["type"] in KINDS:
            try:
                read(text)
            except RemoteError as error:
                raise Broken(str(error)) from None


@check
async def takes_no_word_back(target: Target) -> None:
    """stable only grows, append is what is new of it, and the final text is all that was appended."""
    wire = await whole(target)
    shown: dict[tuple[str, str], str] = {}
    for text in wire.texts:
        if text["type"] in ("segment.updated", "segment.final"):
            key = text["segment_id"], text["language"]
            shown[key] = shown.get(key, "") + text["append"]
            told = text["stable"] if text["type"] == "segment.updated" else text["text"]
            need(told == shown[key], f"{key[0]}: {told!r} is not what was appended, {shown[key]!r}")


@check
async def ends_what_it_starts(target: Target) -> None:
    """Each segment has one start, one final or cancelled, and one end, in this order; times lie in the audio."""
    wire = await whole(target)
    names = "segment.started", "segment.final", "segment.cancelled", "segment.ended"
    limit_ms = 2 * len(target.speech) * 1000 // RATE
    for segment in {text["segment_id"] for text in wire.texts if text["type"] in names}:
        mine = [t for t in wire.texts if t.get("segment_id") == segment and t["type"] in names]
        kinds = [text["type"].removeprefix("segment.") for text in mine]
        need(
            kinds in (["started", "final", "ended"], ["started", "cancelled", "ended"]), f"{segment}: {kinds}"
        )
        need(0 <= mine[0]["start_ms"] <= mine[-1]["end_ms"] <= limit_ms, f"{segment}: times beyond the audio")


@check
async def places_its_speech(target: Target) -> None:
    """Frames follow one another on the output clock, and segment.audio_done tells where they lie."""
    wire = await whole(target)
    if not wire.frames:
        raise Unsuited(f"{target.language} has no voice here")
    clock, lengths = 0, dict[str, int]()
    for frame in wire.frames:
        need(frame.first_sample == clock, f"frame {frame.number} is at {frame.first_sample}, not {clock}")
        clock += len(frame.pcm) // 2
        lengths[f"s{frame.segment}"] = lengths.get(f"s{frame.segment}", 0) + len(frame.pcm) // 2
    done = {text["segment_id"]: text["samples"] for text in wire.of("segment.audio_done")}
    need(done == lengths, "segment.audio_done is not what was sent")


@check
async def flags_its_frames(target: Target) -> None:
    """The first frame of a segment says so, and its last one, which may be empty; none is a replay without a resume."""
    wire = await whole(target)
    if not wire.frames:
        raise Unsuited(f"{target.language} has no voice here")
    for number in {frame.segment for frame in wire.frames}:
        flags = [frame.flags for frame in wire.frames if frame.segment == number]
        need([each & 1 for each in flags] == [1] + [0] * (len(flags) - 1), f"s{number}: first in {flags}")
        need([each & 2 for each in flags] == [0] * (len(flags) - 1) + [2], f"s{number}: last in {flags}")
        need(not any(each & 8 for each in flags), f"s{number}: replayed in {flags}")


@check
async def says_why_a_segment_ends(target: Target) -> None:
    """segment.final has a reason and a lag; what a flush cuts off ends by it, as does what the close cuts off."""
    wire = await whole(target)
    known = "silence", "pause", "max_length", "flush", "close", "drain"
    finals, ends = wire.of("segment.final"), wire.of("segment.ended")
    reasons = {end["segment_id"]: end["reason"] for end in ends}
    for final in finals:
        name, reason = final["segment_id"], final["reason"]
        need(
            reason in known and reason == reasons.get(name),
            f"{name}: final {reason}, end {reasons.get(name)}",
        )
        need(final["lag_ms"] >= 0, f"{name}: lag_ms is {final['lag_ms']}")
    [flushed] = wire.of("input_audio.flushed")
    before = [final["reason"] for final in finals if final["seq"] < flushed["seq"]]
    need(before[-1] in ("silence", "flush"), f"the last segment before the flush ends by {before[-1]}")
    need(finals[-1]["reason"] in ("silence", "close"), f"the last segment ends by {finals[-1]['reason']}")


@check
async def flushes(target: Target) -> None:
    """input_audio.flushed comes behind all that was said, with its marker; ids and times go on after it."""
    wire = await whole(target)
    [flushed] = wire.of("input_audio.flushed")
    need(flushed["marker"] == "half", "the marker is another one")
    half_ms = len(target.speech) * 1000 // RATE
    need(
        abs(flushed["processed_ms"] - half_ms) <= 1,
        f"processed_ms is {flushed['processed_ms']}, not {half_ms}",
    )
    finals = wire.of("segment.final")
    before = [final for final in finals if final["seq"] < flushed["seq"]]
    need(before and len(finals) == 2 * len(before), "the halves do not have the same number of segments")
    need(all(final["start_ms"] >= half_ms - 1_000 for final in finals[len(before) :]), "times begin anew")
    need(len({final["segment_id"] for final in finals}) == len(finals), "an id is used twice")


@check
async def counts_what_it_used(target: Target) -> None:
    """session.closed says how much audio came in and went out, and how many segments there were."""
    wire = await whole(target)
    usage = wire.of("session.closed")[0]["usage"]
    rate = wire.texts[0]["session"]["audio"]["output"]["format"]["rate"]
    out_ms = sum(len(frame.pcm) // 2 for frame in wire.frames) * 1000 // rate
    expected = {"audio_in_ms": 2 * len(target.speech) * 1000 // RATE, "dropped_ms": 0}
    expected |= {"audio_out_ms": out_ms, "segments": len(wire.of("segment.final"))}
    wrong = [
        f"{name} {usage.get(name)}, not {n}"
        for name, n in expected.items()
        if abs(usage.get(name, -9) - n) > 1
    ]
    need(not wrong, "; ".join(wrong))


@check
async def acknowledges(target: Target) -> None:
    """audio.ack counts messages and audio, and gives credit; what is sent within it is not dropped."""
    pieces = target.pcm[:5]
    async with target.socket(is_configured=True) as wire:
        await wire.say(*pieces)
        ack = await wire.until("audio.ack", audio_seq=len(pieces))
        need(
            ack["message_seq"] == len(pieces) + 1,
            f"message_seq is {ack['message_seq']}, not {len(pieces) + 1}",
        )
        received_ms = sum(map(len, pieces)) // 2 * 1000 // RATE
        need(
            abs(ack["received_ms"] - received_ms) <= 1,
            f"received_ms is {ack['received_ms']}, not {received_ms}",
        )
        need(ack["credit_ms"] > 0 and ack["dropped_ms"] == 0, "there is no credit")
