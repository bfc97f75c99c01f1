"""Promises about sessions with more than one connection: resume, and who reads along."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import connect as connect_socket
from websockets.exceptions import InvalidStatus

from seamless_stream.client.conformance.sessions import whole
from seamless_stream.client.conformance.target import Broken, Target, Unsuited, Wire, check, need


@check
async def resumes(target: Target) -> None:
    """After a cut, what was missed comes as it was, nothing comes twice, and the texts are as without a cut."""
    uncut = [final["text"] for final in (await whole(target)).of("segment.final")]
    script: list[Any] = [target.configuration(), *target.pcm, {"type": "input_audio.flush", "marker": "half"}]
    script += [*target.pcm, {"type": "session.close"}]
    async with target.socket() as first:
        session = (await first.until("session.created"))["session"]
        await first.say(*script[: len(target.pcm) // 2])
        await first.until("session.updated")
        first.socket.transport.abort()
    async with _again(target, session, first, session["resume"]["token"]) as second:
        resumed = await second.until("session.resumed")
        need(resumed["gap"] is None, "there is a gap")
        need(0 <= resumed["message_seq"] <= len(target.pcm) // 2, f"message_seq is {resumed['message_seq']}")
        await second.say(*script[resumed["message_seq"] :])
        await second.until("session.closed")
    texts = [*first.texts, *second.texts[1:]]
    need([text["seq"] for text in texts] == list(range(len(texts))), "a message is lost or comes twice")
    numbers = [frame.number for frame in (*first.frames, *second.frames)]
    need(numbers == list(range(len(numbers))), "a frame is lost or comes twice")
    finals = [text["text"] for text in texts if text["type"] == "segment.final"]
    need(finals == uncut, "the texts are others than without a cut")


@asynccontextmanager
async def _again(target: Target, session: dict[str, Any], first: Wire, token: str) -> AsyncIterator[Wire]:
    sign = "&" if "?" in target.url else "?"
    async with target.socket(more=f"{sign}resume={session['id']}") as wire:
        hello = {"type": "session.resume", "token": token}
        await wire.say(hello | {"last_seq": len(first.texts) - 1, "last_frame": len(first.frames) - 1})
        yield wire


@check
async def guards_its_sessions(target: Target) -> None:
    """A wrong token gets unknown_session and 4404; the right one takes over, and the first connection gets 4409."""
    async with target.socket() as first:
        session = (await first.until("session.created"))["session"]
        async with _again(target, session, first, "rt_wrong") as thief:
            code = await thief.closed()
            codes = [error["error"]["code"] for error in thief.of("error")]
            need(
                (codes, code) == (["unknown_session"], 4404),
                f"wrong token: errors {codes}, close code {code}",
            )
        async with _again(target, session, first, session["resume"]["token"]) as second:
            await second.until("session.resumed")
            code = await first.closed()
            need(code == 4409, f"the first connection is closed with {code}")


@check
async def changes_its_tokens(target: Target) -> None:
    """Each resume gives another token; the one before is refused once a message came behind the resume."""
    async with target.socket() as first:
        session = (await first.until("session.created"))["session"]
        tokens = [session["resume"]["token"]]
        for _ in range(2):  # the first time it is as if the answer had been lost
            async with _again(target, session, first, tokens[0]) as wire:
                tokens.append((await wire.until("session.resumed"))["session"]["resume"]["token"])
                wire.socket.transport.abort()
        need(len(set(tokens)) == 3, "a token comes twice")
        async with _again(target, session, first, tokens[2]) as wire:
            await wire.until("session.resumed")
            await wire.say({"type": "ping", "id": "p"})
            await wire.until("pong", id="p")
            async with _again(target, session, first, tokens[2]) as thief:
                code = await thief.closed()
                need(code == 4404, f"an old token is closed with {code}")


@check
async def tells_listeners(target: Target) -> None:
    """Who has the listen token gets a snapshot and then the captions; a wrong token is refused with 404."""
    async with target.socket(is_configured=True) as wire:
        session = wire.texts[0]["session"]
        if "listen" not in session:
            raise Unsuited("session.created has no `listen`")
        path, token = session["listen"]["path"], session["listen"]["token"]
        base = target.url.split("/v1/")[0] + path
        try:
            async with connect_socket(f"{base}?token=wrong"):
                raise Broken("a wrong token is accepted")
        except InvalidStatus as error:
            need(error.response.status_code == 404, f"a wrong token gets {error.response.status_code}")
        async with connect_socket(f"{base}?token={token}", compression=None) as socket:
            listener = Wire(socket, target.patience_s)
            await listener.until("transcript.snapshot")
            await wire.say(*target.pcm, {"type": "session.close"})
            await wire.until("session.closed")
            await listener.until("session.closed")
        finals = [[text["text"] for text in each.of("segment.final")] for each in (wire, listener)]
        need(finals[0] and finals[0] == finals[1], "the listener gets other captions")
