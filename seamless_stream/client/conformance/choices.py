"""Promises about what a client may choose of a session, and until when."""

from typing import Any

from seamless_stream.client.conformance.sessions import whole
from seamless_stream.client.conformance.target import Target, Unsuited, Wire, check, need

MAX_SEGMENT_MS = 2_000  # what every server of this protocol can cut to


def _update(**session: Any) -> dict[str, Any]:
    return {"type": "session.update", "event_id": "choice", "session": session}


async def _choose(wire: Wire, name: str, **session: Any) -> dict[str, Any]:
    """What session.updated shows of it under that name; Unsuited where this server does not know it."""
    await wire.say(_update(**session))
    updated: dict[str, Any] = (await wire.until("session.updated"))["session"]
    if name not in updated:
        raise Unsuited(f"session.updated has no `{name}`")
    shown: dict[str, Any] = updated[name]
    return shown


@check
async def keeps_what_is_fixed(target: Target) -> None:
    """After the first audio a field of the scope `session` is refused by name, and the configuration is as it was."""
    async with target.socket(is_configured=True) as wire:
        before = (await wire.until("session.updated"))["session"]
        await wire.say(target.pcm[0], _update(audio={"input": {"pacing": "realtime"}}))
        error = (await wire.until("error"))["error"]
        found = error["code"], error["param"], error["event_id"], error["recoverable"]
        need(
            found == ("immutable_field", "session.audio.input.pacing", "choice", True),
            f"the error is {found}",
        )
        await wire.say(_update())
        need((await wire.until("session.updated"))["session"] == before, "the configuration has changed")


@check
async def cuts_as_asked(target: Target) -> None:
    """No segment is longer than turn_detection.max_segment_ms, and session.updated shows it."""
    async with target.socket(is_configured=True) as wire:
        await wire.until("session.updated")
        wish = {"type": "server_vad", "max_segment_ms": MAX_SEGMENT_MS}
        shown = await _choose(wire, "audio", audio={"input": {"turn_detection": wish}})
        if "turn_detection" not in shown["input"]:
            raise Unsuited("session.updated has no `turn_detection`")
        shown_ms = shown["input"]["turn_detection"]["max_segment_ms"]
        need(shown_ms == MAX_SEGMENT_MS, f"session.updated shows {shown_ms}")
        await wire.say(*target.pcm, {"type": "session.close"})
        await wire.until("session.closed")
        lengths = [text["end_ms"] - text["start_ms"] for text in wire.of("segment.ended")]
        need(lengths and max(lengths) <= MAX_SEGMENT_MS, f"segments last {lengths} ms")


@check
async def leaves_its_own_language_alone(target: Target) -> None:
    """With same_language "skip", what is declared to be in the target language is not translated, and it is said."""
    async with target.socket(is_configured=True) as wire:
        created = wire.texts[0]["session"]
        if "same_language" not in created.get("translation", {}):
            raise Unsuited("session.created has no `translation.same_language`")
        await wire.say(_update(translation={"source_language": target.language, "same_language": "skip"}))
        await wire.say(*target.pcm, {"type": "session.close"})
        await wire.until("session.closed")
    if wire.of("error"):
        raise Unsuited(f"{target.language} cannot be what is spoken here")
    spoken = [final for final in wire.of("segment.final") if final["role"] == "target"]
    need(not spoken and not wire.frames, "it is translated or spoken")
    told = [text["segment_id"] for text in wire.of("segment.skipped") if text["reason"] == "same_language"]
    need(told and told == [text["segment_id"] for text in wire.of("segment.started")], f"told is {told}")


@check
async def writes_only_finals(target: Target) -> None:
    """With captions.mode "final" there is no segment.updated, and each final appends all of its text."""
    async with target.socket(is_configured=True) as wire:
        await wire.until("session.updated")
        shown = await _choose(wire, "captions", captions={"mode": "final"})
        if "mode" not in shown:
            raise Unsuited("session.updated has no `captions.mode`")
        await wire.say(*target.pcm, {"type": "session.close"})
        await wire.until("session.closed")
    need(not wire.of("segment.updated"), "there is a segment.updated")
    finals = wire.of("segment.final")
    need(all(final["append"] == final["text"] for final in finals), "append is not the whole text")
    usual = (await whole(target)).of("segment.final")[: len(finals)]
    need(
        [f["text"] for f in finals] == [f["text"] for f in usual], "the texts are others than in other modes"
    )
