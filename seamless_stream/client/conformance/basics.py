"""Promises that need no speech, or little: how a session begins, is changed and refused; the OpenAI dialect."""

import base64
import json

from websockets.exceptions import InvalidStatus

from seamless_stream.client.conformance.target import RATE, Broken, Target, check, need
from seamless_stream.server.protocol import NATIVE


@check
async def speaks_first(target: Target) -> None:
    """session.created comes first, with id, capabilities, limits, the model's revision, and a token to resume."""
    async with target.socket() as wire:
        need(wire.socket.subprotocol == NATIVE, f"the subprotocol is {wire.socket.subprotocol}")
        created = await wire.until("session.created")
        need(len(wire.texts) == 1, "something came before session.created")
        promised = {"id", "audio", "capabilities", "limits", "resume", "protocol", "model_revision"}
        missing = promised - set(created["session"])
        need(not missing, f"session lacks {', '.join(sorted(missing))}")


@check
async def answers_a_change_with_the_whole_configuration(target: Target) -> None:
    """session.updated holds all of it; fields that are not known are ignored."""
    async with target.socket(is_configured=True) as wire:
        audio = (await wire.until("session.updated"))["session"]["audio"]
        need(audio["output"]["language"] == target.language, "the language is not in the client's form")
        need(audio["input"]["pacing"] == "fast", "the pacing was not taken")
        need({"encoding", "rate"} <= set(audio["input"]["format"]), "the input format is not whole")


@check
async def refuses_and_names_the_field(target: Target) -> None:
    """error has code, param, event_id and recoverable; then nothing has changed."""
    async with target.socket(is_configured=True) as wire:
        before = (await wire.until("session.updated"))["session"]["audio"]
        wrong = {"input": {"format": {"rate": 96_000}, "pacing": "realtime"}}
        await wire.say({"type": "session.update", "event_id": "c2", "session": {"audio": wrong}})
        error = (await wire.until("error"))["error"]
        found = error["code"], error["param"], error["event_id"], error["recoverable"]
        expected = "invalid_value", "session.audio.input.format.rate", "c2", True
        need(found == expected, f"code, param, event_id, recoverable are {found}")
        await wire.say({"type": "session.update", "session": {}})
        need((await wire.until("session.updated"))["session"]["audio"] == before, "something has changed")


@check
async def survives_nonsense(target: Target) -> None:
    """What is no JSON, of no known type or without its fields is refused, and the session goes on."""
    async with target.socket() as wire:
        await wire.until("session.created")
        for message, code in (
            ("{", "invalid_json"),
            ('{"type":"x"}', "unknown_type"),
            ('{"type":"session.update"}', "missing_field"),
        ):
            await wire.say(message)
            error = (await wire.until("error"))["error"]
            need(error["code"] == code and error["recoverable"], f"{message} gives {error['code']}")
        await wire.say({"type": "ping", "id": "p"})
        await wire.until("pong", id="p")


@check
async def refuses_before_the_upgrade(target: Target) -> None:
    """An unknown model gets HTTP 404 with a JSON body that has code and message."""
    sign = "&" if "?" in target.url else "?"
    try:
        async with target.socket(more=f"{sign}model=no-such-model"):
            raise Broken("an unknown model is accepted")
    except InvalidStatus as error:
        need(error.response.status_code == 404, f"the status is {error.response.status_code}")
        code = json.loads(error.response.body or b"{}").get("error", {}).get("code")
        need(code == "model_not_found", f"the code is {code}")


@check
async def closes_on_a_cut_sample(target: Target) -> None:
    """An odd number of bytes gives misframed_audio and close code 4400."""
    async with target.socket(is_configured=True) as wire:
        await wire.until("session.updated")
        await wire.say(b"abc")
        code = await wire.closed()
        codes = [error["error"]["code"] for error in wire.of("error")]
        need((codes, code) == (["misframed_audio"], 4400), f"errors {codes}, close code {code}")


@check
async def speaks_openai(target: Target) -> None:
    """Without our subprotocol: base64 audio in, transcript deltas out; binary messages are refused with 1003."""
    async with target.socket(subprotocol=None) as wire:
        await wire.until("session.created")
        form = {"type": "audio/pcm", "rate": RATE}
        audio = {"input": {"format": form, "pacing": "fast"}, "output": {"language": target.language}}
        await wire.say({"type": "session.update", "session": {"audio": audio}})
        for piece in target.pcm:
            text = base64.b64encode(piece).decode()
            await wire.say({"type": "session.input_audio_buffer.append", "audio": text})
        await wire.say({"type": "session.close"})
        await wire.until("session.closed")
        deltas = "".join(text["delta"] for text in wire.of("session.output_transcript.delta"))
        need(deltas.strip(), "no session.output_transcript.delta")
        strange = {text["type"] for text in wire.texts if text["type"].startswith(("segment.", "audio."))}
        need(not strange, f"messages of our dialect: {', '.join(sorted(strange))}")
    async with target.socket(subprotocol=None) as wire:
        await wire.until("session.created")
        await wire.say(b"ab")
        code = await wire.closed()
        need(code == 1003, f"a binary message closes with {code}")
