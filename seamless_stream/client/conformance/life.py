"""Promises about the life of a session: what keeps it alive, and what it makes of silence."""

from seamless_stream.client.conformance.target import RATE, Target, check, need
from seamless_stream.server.protocol import NATIVE


@check
async def takes_a_word_to_keep_alive(target: Target) -> None:
    """KeepAlive gets no answer, in both dialects; a ping behind it gets its pong."""
    for subprotocol in (NATIVE, None):
        async with target.socket(subprotocol=subprotocol) as wire:
            await wire.until("session.created")
            await wire.say({"type": "KeepAlive"}, {"type": "ping", "id": "p"})
            await wire.until("pong", id="p")
            need(not wire.of("error"), "KeepAlive is an error")


@check
async def hears_told_silence(target: Target) -> None:
    """Silence that is told moves the input clock as silence that is sent; more than 60 s are refused."""
    async with target.socket(is_configured=True) as wire:
        for duration_ms in (0, 60_001):
            await wire.say({"type": "session.input_audio_buffer.silence", "duration_ms": duration_ms})
            error = (await wire.until("error"))["error"]
            found = error["code"], error["param"]
            need(found == ("invalid_value", "duration_ms"), f"{duration_ms} ms give code, param {found}")
        await wire.say({"type": "session.input_audio_buffer.silence", "duration_ms": 20_000})
        await wire.say(*target.pcm, {"type": "session.close"})
        closed = await wire.until("session.closed")
        expected_ms = 20_000 + len(target.speech) * 1000 // RATE
        heard_ms = closed["usage"]["audio_in_ms"]
        need(abs(heard_ms - expected_ms) <= 1, f"audio_in_ms is {heard_ms}, not {expected_ms}")
        starts = [started["start_ms"] for started in wire.of("segment.started")]
        need(starts and min(starts) >= 19_000, f"segments start at {starts} ms")
