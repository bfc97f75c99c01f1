"""One session with a daemon over as many connections as it takes: audio up, messages down.

Knows the flow of docs/protocol.md: numbers of messages, credit, resume, close. What the messages hold is `wire.py`;
knows no devices and no terminal.
"""

import asyncio
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_socket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.pcm import Samples, check_samples, to_bytes
from seamless_stream.client.wire import ConnectionLost, Incoming, Targets, parse, read, read_frame, write
from seamless_stream.client.wishes import audio_wish, translation_wish
from seamless_stream.errors import BusyError, LanguageError, RemoteError, SeamlessStreamError, SettingsError
from seamless_stream.server import commands, messages
from seamless_stream.server.changes import Pacing, SessionChange
from seamless_stream.server.protocol import IDLE, NATIVE, SLOW_READER
from seamless_stream.settings import Latency
from seamless_stream.sources import Source, paced

PATH: Final = "/v1/realtime/translations"
CONFIGURE: Final = "configure"  # event_id of the first message
BROKEN: Final = (None, 1006, IDLE, SLOW_READER)  # close codes after which the session lives on
LEAVING: Final = 1000  # ends the session
COMING_BACK: Final = 4000  # does not: the server may have resumed it, and be slow to say so
BUSY: Final = ("server_full", "too_many_sessions", "draining")
ANSWER_S: Final = 10.0
PING_S: Final = 10.0  # a network that has died is noticed after twice that
MAX_WAIT_S: Final = 2.0  # between two attempts
FAST_AHEAD_MS: Final = 60_000  # not yet taken by the server, where audio comes faster than real time
MAX_MESSAGES: Final = 20_000  # that nobody has read
MAX_BYTES: Final = 1 << 24  # of a message of the server


class Session:
    """Made by `connect`. Iterate it for all that the server says, until the session is over."""

    def __init__(
        self, url: str, key: str | None, tls: ssl.SSLContext | None, rate: int, pacing: Pacing
    ) -> None:
        self.info: dict[
            str, Any
        ] = {}  # the `session` of session.created: id, capabilities, limits, listen ...
        self._url, self._key, self._tls = address(url), key, tls
        self._rate, self._pacing = rate, pacing
        self._kept: deque[str | bytes] = deque()  # what the server has not taken yet
        self._num_taken = 0  # messages before the kept ones
        self._num_written = 0
        self._num_samples = 0  # given to `send`
        self._received_ms = self._credit_ms = 0
        self._last_seq = self._last_frame = -1
        self._news, self._room = asyncio.Event(), asyncio.Event()
        self._inbox: asyncio.Queue[Incoming | None] = asyncio.Queue()
        self._socket: ClientConnection | None = None
        self._is_configured = asyncio.Event()
        self._is_finished = self._is_over = self._is_fed_up = self._has_segments = False
        self._last_error: messages.Error | None = None
        self._failure: SeamlessStreamError | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # What a program does with it.

    async def send(self, samples: Samples) -> None:
        """Audio [n] float32 mono at the session's rate; waits while the server has no room for it.

        Raises AudioError where it is something else, and RemoteError where the session is over.
        """
        check_samples(samples)
        for start in range(0, len(samples), self._rate):
            while not self._is_over and self._num_samples * 1000 // self._rate >= self._limit_ms:
                self._room.clear()
                await self._room.wait()
            piece = samples[start : start + self._rate]
            self._put(to_bytes(piece))
            self._num_samples += len(piece)

    async def say(self, message: commands.ClientMessage) -> None:
        """Any other message: change the languages, flush, tell what was played, clear."""
        self._put(write(message))

    def feed(self, source: Source, *, is_paced: bool = False) -> None:
        """Send all of a source (`seamless_stream.sources`) meanwhile, then finish; `is_paced`: as if it were spoken."""
        if self._rate != SAMPLE_RATE:
            raise SettingsError(f"`rate` must be {SAMPLE_RATE} to feed a source, but is {self._rate}.")
        self._tasks.append(asyncio.create_task(self._feed(source, is_paced=is_paced)))

    def stop_feeding(self) -> None:
        """Take no more from the source; what was said is still translated."""
        self._is_fed_up = True

    async def finish(self) -> None:
        """No more audio will come; the iteration ends behind the last words."""
        if not self._is_finished and not self._is_over:
            self._put(write(commands.SessionClose()))
            self._is_finished = True

    def __aiter__(self) -> "Session":
        return self

    async def __anext__(self) -> Incoming:
        message = await self._inbox.get()
        if message is not None:
            return message
        self._inbox.put_nowait(None)
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    # Its life.

    async def begin(self, change: SessionChange) -> None:
        """Connect and configure; raises LanguageError, BusyError, RemoteError, SettingsError."""
        socket = await self._open()
        self._socket = socket
        try:
            async with asyncio.timeout(ANSWER_S):
                first = read(parse(str(await socket.recv())))
        except (ConnectionClosed, TimeoutError):
            raise RemoteError(f"{self._url} accepts the connection, but says nothing.") from None
        if isinstance(first, messages.Error):
            raise refusal(first.error.code, first.error.message)
        if not isinstance(first, messages.SessionCreated):
            raise RemoteError(f"{self._url} must speak {NATIVE}, but does not.")
        self.info, self._last_seq = first.session, 0
        self._targets = Targets(first.session)
        self._credit_ms = self.info["limits"]["max_ahead_ms"]
        self._put(write(commands.SessionUpdate(change, CONFIGURE)))
        self._tasks.append(asyncio.create_task(self._live(socket)))
        await self._is_configured.wait()
        if self._failure is not None:
            raise self._failure

    async def leave(self) -> None:
        """Nothing more is sent or read."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._socket is not None:
            await self._socket.close()

    async def _live(self, socket: ClientConnection) -> None:
        try:
            while True:
                await self._converse(socket)
                if self._is_over:
                    return
                self._examine(socket.close_code)
                self._deliver(ConnectionLost(f"close code {socket.close_code}"))
                self._socket = None
                self._room.set()
                self._socket = socket = await self._return()
                self._room.set()
        except SeamlessStreamError as error:
            self._failure = self._failure or error
        finally:
            self._is_over = True
            self._room.set()
            self._is_configured.set()
            self._inbox.put_nowait(None)

    async def _feed(self, source: Source, *, is_paced: bool) -> None:
        chunks = iter(paced(source.chunks()) if is_paced else source.chunks())
        try:
            while not self._is_fed_up and (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
                await self.send(chunk)
            await self.finish()
        except SeamlessStreamError as error:  # of the source; what the session died of is told already
            if not self._is_over:
                self._failure = error
                await self.finish()

    # A connection.

    async def _open(self, **query: str) -> ClientConnection:
        headers = {} if self._key is None else {"Authorization": f"Bearer {self._key}"}
        parts = urlsplit(self._url)
        url = urlunsplit(parts._replace(query=urlencode([*parse_qsl(parts.query), *query.items()])))
        try:
            socket = await connect_socket(
                url,
                subprotocols=[Subprotocol(NATIVE)],
                additional_headers=headers,
                ssl=self._tls,
                compression=None,
                max_size=MAX_BYTES,
                open_timeout=ANSWER_S,
                ping_interval=PING_S,
                ping_timeout=PING_S,
                close_timeout=1,
            )
        except InvalidURI:
            raise SettingsError(f"The address must be like ws://HOST:8765, but is {self._url}.") from None
        except InvalidStatus as error:
            raise _refused(self._url, error) from None
        except TimeoutError:
            raise RemoteError(f"{self._url} does not answer.") from None
        except (OSError, EOFError, InvalidHandshake) as error:
            reason = getattr(error, "strerror", None) or str(error) or "it ends the connection"
            raise RemoteError(f"{self._url} cannot be reached: {reason}.") from None
        if socket.subprotocol != NATIVE:
            await socket.close()
            raise RemoteError(f"{self._url} must speak {NATIVE}, but does not.")
        return socket

    async def _converse(self, socket: ClientConnection) -> None:
        """Until the connection ends, or the session."""
        writing = asyncio.create_task(self._write(socket))
        try:
            with suppress(ConnectionClosed):
                while not self._is_over:
                    self._take(await socket.recv())
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def _write(self, socket: ClientConnection) -> None:
        """What is not yet written, not faster than the server allows: all of it may come again after a resume."""
        loop, step_s = asyncio.get_running_loop(), 1.25 / self.info["limits"]["max_messages_per_s"]
        due_s = loop.time()
        with suppress(ConnectionClosed):
            while True:
                while self._num_written < self._num_taken + len(self._kept):
                    await socket.send(self._kept[self._num_written - self._num_taken])
                    self._num_written += 1
                    due_s = max(due_s + step_s, loop.time() - ANSWER_S * step_s)
                    await asyncio.sleep(max(0.0, due_s - loop.time()))
                self._news.clear()
                await self._news.wait()

    async def _return(self) -> ClientConnection:
        """Another connection to the same session; raises RemoteError where there is none in time."""
        loop, wait_s = asyncio.get_running_loop(), 0.05
        until_s = loop.time() + self._grace_ms / 1000
        while loop.time() < until_s:
            try:
                socket = await self._open(resume=self.info["id"])
                answer = await self._ask(socket)
            except (SeamlessStreamError, ConnectionClosed, TimeoutError):
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, MAX_WAIT_S)
                continue
            if isinstance(answer, messages.Error):
                raise refusal(answer.error.code, answer.error.message)
            self._resume(answer)
            return socket
        raise RemoteError(f"The connection to {self._url} is lost.")

    async def _ask(self, socket: ClientConnection) -> messages.SessionResumed | messages.Error:
        token = self.info["resume"]["token"]
        try:
            async with asyncio.timeout(ANSWER_S):
                with suppress(ConnectionClosed):  # a refusal may have come already
                    await socket.send(write(commands.SessionResume(token, self._last_seq, self._last_frame)))
                answer = read(parse(str(await socket.recv())))
            if isinstance(answer, messages.SessionResumed | messages.Error):
                return answer
            raise RemoteError("A server must answer session.resume, but does not.")
        except BaseException as error:
            has_left = isinstance(error, asyncio.CancelledError)
            await socket.close(LEAVING if has_left else COMING_BACK)
            raise

    def _resume(self, answer: messages.SessionResumed) -> None:
        self.info = self.info | answer.session  # with the next token
        self._forget(answer.message_seq)
        self._num_written = answer.message_seq
        if answer.gap is not None:
            self._last_seq = max(self._last_seq, answer.gap.to_seq)
            self._last_frame = max(self._last_frame, answer.gap.to_frame)
        self._deliver(answer)

    def _examine(self, code: int | None) -> None:
        """Whether the session lives on without its connection; raises what it died of."""
        error = None if self._last_error is None else self._last_error.error
        if error is not None and not error.recoverable and code not in BROKEN:
            raise refusal(error.code, error.message)
        if code not in BROKEN or not self._grace_ms:
            raise RemoteError(f"The server has closed the connection with {code}.")

    # Messages.

    def _take(self, data: str | bytes) -> None:
        """One of the server; raises RemoteError."""
        if isinstance(data, bytes):
            self._last_frame += 1
            frame = read_frame(data)
            if frame.pcm:  # else it only says that it was the last one
                self._deliver(self._targets.speech(frame))
            return
        tree = parse(data)
        self._last_seq = tree.get("seq", self._last_seq)
        message = read(tree)
        if message is None:
            return
        if isinstance(message, messages.AudioAck):
            self._received_ms, self._credit_ms = message.received_ms, message.credit_ms
            self._forget(message.message_seq)
            self._room.set()
        elif isinstance(message, messages.SessionUpdated):
            if not self._has_segments:
                self._targets.begin(message.session)
            self._is_configured.set()
        elif isinstance(message, messages.SegmentStarted):
            self._has_segments = True
        elif isinstance(message, messages.TargetChanged):
            self._targets.follow(message)
        elif isinstance(message, messages.SessionClosed):
            self._is_over = True
        elif isinstance(message, messages.Error):
            self._last_error = message
            if message.error.event_id == CONFIGURE:
                raise refusal(message.error.code, message.error.message)
        self._deliver(message)

    def _deliver(self, message: Incoming) -> None:
        if self._inbox.qsize() >= MAX_MESSAGES:
            raise RemoteError(f"The messages of a session must be read, but {MAX_MESSAGES} are waiting.")
        self._inbox.put_nowait(message)

    def _put(self, data: str | bytes) -> None:
        if self._is_over or self._is_finished:
            raise self._failure or RemoteError("The session is over: nothing more can be sent.")
        self._kept.append(data)
        self._news.set()

    def _forget(self, num_taken: int) -> None:
        while self._num_taken < num_taken and self._kept:
            self._kept.popleft()
            self._num_taken += 1

    @property
    def _grace_ms(self) -> int:
        grace_ms: int = self.info["resume"]["grace_ms"]
        return grace_ms

    @property
    def _limit_ms(self) -> int:
        """How far audio may be sent by now; without a connection it is kept for as long as the session lives."""
        if self._socket is None:
            return self._received_ms + self._grace_ms
        return self._received_ms + (FAST_AHEAD_MS if self._pacing == "fast" else self._credit_ms)


@asynccontextmanager
async def connect(
    url: str,
    to: str | Sequence[str],
    *,
    key: str | None = None,
    source_language: str | Sequence[str] | None = None,
    speaks: bool | None = None,
    transcribes: bool = False,
    pacing: Pacing = "realtime",
    rate: int = SAMPLE_RATE,
    output_rate: int | None = None,
    tls: ssl.SSLContext | None = None,
    latency: Latency | None = None,
) -> AsyncIterator[Session]:
    """A session while the block runs; its end waits for the last words, an exception ends it at once.

    `url` is ws://HOST:PORT or wss://...; `to` one language or several; `source_language` what is spoken, or languages
    of which it is one; `speaks` None: where a language has a voice; `pacing` fast: a file, of which nothing is dropped;
    `latency` None: as the server is set up. Raises LanguageError, BusyError, RemoteError, SettingsError.
    """
    session = Session(url, key, tls, rate, pacing)
    try:
        audio = audio_wish(to, speaks, transcribes, pacing, rate, output_rate)
        translation = translation_wish(to, source_language, speaks, latency)
        await session.begin(SessionChange(audio, translation))
        yield session
        await session.finish()
        async for _ in session:
            pass
    finally:
        await session.leave()


def address(url: str) -> str:
    """With what may be left out of it: `127.0.0.1:8765` is enough."""
    url = url if "://" in url else f"ws://{url}"
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    return urlunsplit(parts._replace(scheme=scheme, path=parts.path.rstrip("/") or PATH))


def refusal(code: str, text: str) -> SeamlessStreamError:
    """What the server said, as an error of this package."""
    if code == "invalid_language":
        return LanguageError(text)
    return BusyError(text) if code in BUSY else RemoteError(text)


def _refused(url: str, error: InvalidStatus) -> SeamlessStreamError:
    """Before the upgrade: an HTTP status with a JSON body, if it is a server of ours."""
    status = error.response.status_code
    try:
        body = json.loads(error.response.body or b"")["error"]
        return refusal(body["code"], body["message"])
    except (ValueError, KeyError, TypeError):
        return RemoteError(f"{url} is no translation server: it answers with HTTP status {status}.")
