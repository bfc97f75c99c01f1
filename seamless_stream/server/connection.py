"""One client's socket and its session: reads messages, feeds the worker, sends what comes back.

Everything here runs on the event loop and never waits for the model: audio goes into bounded queues, events come by
`call_soon_threadsafe`. The socket's end is the session's end.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.engine.worker import Progress, Worker, WorkerSession
from seamless_stream.errors import BusyError, SeamlessStreamError
from seamless_stream.events import Event
from seamless_stream.models.base import Capabilities
from seamless_stream.server import messages, protocol
from seamless_stream.server.captions import Captions, Outgoing, ms
from seamless_stream.server.configuration import apply, initial, introduce
from seamless_stream.server.intake import Intake, Mark, Target
from seamless_stream.server.messages import ClientMessage, Dialect
from seamless_stream.server.outbox import Outbox
from seamless_stream.server.protocol import ProtocolError
from seamless_stream.settings import ServerSettings, SessionSettings

log = logging.getLogger(__name__)

TICK_S: Final = 0.1
ACK_S: Final = 0.5
HEARTBEAT_S: Final = 5.0
PING_S: Final = 20.0
LAST_WORDS_S: Final = 5.0  # to send what is unsent before the socket is closed


@dataclass(frozen=True)
class Service:
    """What all connections share."""

    worker: Worker
    capabilities: Capabilities
    model: str  # its name
    session: SessionSettings
    settings: ServerSettings


class Connection:
    """`run` until either side ends it."""

    def __init__(self, socket: ServerConnection, service: Service, dialect: Dialect) -> None:
        self._socket = socket
        self._service = service
        self._dialect = dialect
        self._id = f"sess_{secrets.token_hex(12)}"
        self._config = initial(dialect, service.session, service.capabilities)
        self._captions = Captions(dialect, self._config.output_rate)
        self._intake: Intake | None = None  # from the first audio on
        self._session: WorkerSession | None = None
        self._mark: Mark | None = None  # the worker finishes what came before it
        self._num_pushed = 0  # samples at 16 kHz, also those of engine sessions before the present one
        self._offset_s = 0.0  # where the present one began
        self._closing: str | None = None  # why no more audio is taken
        self._close_code = protocol.NORMAL
        self._over = asyncio.Event()
        self._outbox = Outbox(socket, dialect, service.settings.max_unsent_bytes)
        self._dropped: tuple[int, int] | None = None  # not yet told
        self._opened_s = self._alive_s = time.monotonic()
        self._expires_at = int(time.time()) + service.settings.max_session_s
        self._message_allowance = float(service.settings.max_messages_per_s)
        self._message_s = self._opened_s

    async def run(self) -> None:
        """Returns when the socket is closed."""
        log.info("%s opened: %s", self._id, self._dialect)
        self._send(messages.SessionCreated(self._describe(is_first=True)))
        writer = asyncio.create_task(self._outbox.drain())
        loops: list[Coroutine[Any, Any, Any]] = [self._read(), self._tick(), self._over.wait()]
        tasks = [asyncio.create_task(loop) for loop in loops]
        try:
            done, _ = await asyncio.wait([writer, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.exception() is not None:
                    log.error("%s failed", self._id, exc_info=task.exception())
                    self._close_code = protocol.INTERNAL
            if self._over.is_set():
                self._outbox.close()
                await asyncio.wait([writer], timeout=LAST_WORDS_S)
            await self._socket.close(self._close_code)
        finally:
            self._over.set()  # what the worker still delivers is ignored
            if self._session is not None:
                self._session.close()
            for task in (writer, *tasks):
                task.cancel()
            await asyncio.gather(writer, *tasks, return_exceptions=True)
            log.info("%s closed: %d", self._id, self._close_code)

    def drain(self) -> None:
        """The server stops: finish what was said, then close."""
        if self._closing is None:
            left_ms = ms(self._service.settings.drain_s)
            self._send(messages.GoAway("drain", left_ms))
            self._close_code = protocol.RESTART
            self._finish("drain")

    def end(self, code: int) -> None:
        """Close without finishing."""
        self._close_code = code
        self._over.set()

    # Reading.

    async def _read(self) -> None:
        with suppress(ConnectionClosed):
            while not self._over.is_set():
                data = await self._socket.recv()
                self._alive()
                try:
                    self._limit_messages()
                    self._handle(data)
                except ProtocolError as error:
                    self._send(error.message())
                    if error.close_code is not None:
                        self.end(error.close_code)
                # Nothing is dropped: the socket is not read, so that TCP holds the sender back.
                while self._intake is not None and not self._intake.has_room and not self._over.is_set():
                    if self._drops:
                        break
                    self._alive()
                    await asyncio.sleep(TICK_S / 2)
        if not self._over.is_set():
            await self._socket.wait_closed()

    def _limit_messages(self) -> None:
        limit, now_s = self._service.settings.max_messages_per_s, time.monotonic()
        earned = (now_s - self._message_s) * limit
        self._message_allowance, self._message_s = min(limit, self._message_allowance + earned) - 1, now_s
        if self._message_allowance < 0:
            raise ProtocolError(
                "too_many_messages",
                f"At most {limit} messages a second are taken.",
                close_code=protocol.TOO_FAST,
                kind="rate_limit_error",
            )

    def _handle(self, data: str | bytes) -> None:
        if isinstance(data, bytes):
            if self._dialect != "native":
                raise ProtocolError(
                    "binary_not_allowed",
                    f"Binary messages need the subprotocol {protocol.NATIVE}.",
                    close_code=protocol.UNSUPPORTED,
                )
            self._audio(data)
            return
        message = protocol.parse(data)
        try:
            self._obey(message)
        except ProtocolError as error:
            error.event_id = message.event_id
            raise

    def _obey(self, message: ClientMessage) -> None:
        if isinstance(message, messages.AudioAppend):
            self._audio(protocol.payload(message))
        elif isinstance(message, messages.SessionUpdate):
            self._update(message)
        elif isinstance(message, messages.Ping):
            self._send(messages.Pong(message.id))
        elif isinstance(message, messages.SessionClose):
            if self._closing is None:
                self._finish("client")
        elif self._dialect != "native":
            raise ProtocolError(
                "unknown_type", f"`{message.type}` needs the subprotocol {protocol.NATIVE}.", param="type"
            )
        else:
            self._put(Mark(message.marker))

    def _update(self, message: messages.SessionUpdate) -> None:
        service, old = self._service, self._config
        is_open = self._intake is not None
        self._config = apply(old, message.session, service.session, service.capabilities, is_open=is_open)
        self._captions.output_rate = self._config.output_rate
        self._note_language()
        if is_open and self._config.code != old.code and self._config.code is not None:
            self._put(Target(self._config.code))
        self._send(messages.SessionUpdated(self._describe()))

    def _note_language(self) -> None:
        if self._config.code is not None and self._config.language is not None:
            self._captions.names[self._config.code] = self._config.language

    # Audio in.

    @property
    def _drops(self) -> bool:
        """Whether audio that comes too early is dropped; else it is not read."""
        return self._dialect == "native" and self._config.pacing == "realtime"

    def _audio(self, data: bytes) -> None:
        if self._closing is not None:
            raise ProtocolError("session_closing", "The session is closing and takes no more audio.")
        if self._config.code is None:
            raise ProtocolError(
                "language_required",
                "`session.audio.output.language` must be set before audio is sent.",
                param="session.audio.output.language",
            )
        if self._intake is None:
            self._begin()
        assert self._intake is not None
        if self._drops and not self._intake.has_room:
            start_ms, end_ms = self._intake.drop(data)
            self._dropped = (start_ms if self._dropped is None else self._dropped[0], end_ms)
        else:
            self._intake.push(data)
        self._pump()

    def _begin(self) -> None:
        """The first audio: what was only a default is now fixed."""
        config = self._config
        self._config = config = replace(config, mode=config.effective_mode(self._service.capabilities))
        self._note_language()
        ahead_ms = self._service.settings.max_ahead_ms
        is_paced = config.pacing == "realtime"
        self._intake = Intake(config.encoding, config.input_rate, ahead_ms, is_paced=is_paced)

    def _put(self, item: Mark | Target) -> None:
        if self._intake is not None:
            self._intake.put(item)
            self._pump()
        elif isinstance(item, Mark):
            self._reached(item)

    def _finish(self, reason: str) -> None:
        self._closing = reason
        self._put(Mark(None))

    def _pump(self) -> None:
        """Hand the worker what it may have now."""
        while self._intake is not None and self._mark is None and not self._over.is_set():
            item = self._intake.take(time.monotonic())
            if item is None:
                return
            if not self._hand_over(item):
                self._intake.give_back(item)
                return

    def _hand_over(self, item: np.ndarray | Mark | Target) -> bool:
        if self._session is None:
            if isinstance(item, Mark):
                self._reached(item)
                return True
            if isinstance(item, Target):
                return True  # the next engine session begins with it
            self._session = self._open()
        if self._session is None:
            return True  # the connection has ended
        try:
            if isinstance(item, Mark):
                is_taken = self._session.finish(timeout_s=0)
                self._mark = item if is_taken else None
            elif isinstance(item, Target):
                is_taken = self._session.change_targets((item.code,), timeout_s=0)
            else:
                is_taken = self._session.push(item, timeout_s=0)
                self._num_pushed += len(item) if is_taken else 0
        except SeamlessStreamError:
            return True  # it has ended; `_ended` hears why
        return is_taken

    # The worker.

    def _open(self) -> WorkerSession | None:
        loop = asyncio.get_running_loop()

        def deliver(new: list[Event]) -> None:
            loop.call_soon_threadsafe(self._deliver, new)

        def ended(error: SeamlessStreamError | None) -> None:
            loop.call_soon_threadsafe(self._ended, error)

        settings = self._config.settings(self._service.session, self._service.capabilities)
        try:
            return self._service.worker.open_later(settings, deliver, ended)
        except BusyError as error:
            self._fail(error)
            return None

    @property
    def _progress(self) -> Progress:
        return Progress() if self._session is None else self._session.progress

    def _deliver(self, new: list[Event]) -> None:
        if self._over.is_set():
            return
        elapsed_ms = ms(self._offset_s + self._progress.position_s)
        for event in new:
            for message in self._captions.convert(event, elapsed_ms):
                self._send(message)

    def _ended(self, error: SeamlessStreamError | None) -> None:
        """Everything of the engine's session is delivered."""
        if self._over.is_set():
            return
        self._session = None
        if error is None and self._mark is not None:
            mark, self._mark = self._mark, None
            self._reached(mark)
            self._pump()
        else:
            self._fail(error)

    def _reached(self, mark: Mark) -> None:
        """All before the mark is translated and sent."""
        self._offset_s = self._num_pushed / SAMPLE_RATE
        self._captions.restart(self._offset_s)
        if mark.marker is not None:
            self._send(messages.Flushed(mark.marker, ms(self._offset_s)))
            return
        intake = self._intake
        usage = {
            "audio_in_ms": 0 if intake is None else intake.received_ms,
            "audio_out_ms": self._captions.num_samples * 1000 // self._config.output_rate,
            "segments": self._captions.num_finals,
            "dropped_ms": 0 if intake is None else intake.dropped_ms,
        }
        self._tell_drops()
        self._send(messages.SessionClosed(self._closing or "client", usage))
        self._over.set()

    def _fail(self, error: SeamlessStreamError | None) -> None:
        """The session cannot go on."""
        is_busy = isinstance(error, BusyError)
        text = "The worker has stopped." if error is None else str(error)
        code = "server_full" if is_busy else "session_failed"
        close_code = protocol.TRY_LATER if is_busy else protocol.WORKER_LOST
        self._refuse(ProtocolError(code, text, close_code=close_code, kind="server_error"))

    def _refuse(self, error: ProtocolError) -> None:
        assert error.close_code is not None
        self._send(error.message())
        self.end(error.close_code)

    # Sending.

    def _send(self, message: Outgoing) -> None:
        if not self._outbox.put(message) and not self._over.is_set():
            self.end(protocol.SLOW_READER)

    # The clock.

    def _alive(self) -> None:
        self._alive_s = time.monotonic()

    async def _tick(self) -> None:
        acked_s = heartbeat_s = pinged_s = self._opened_s
        while not self._over.is_set():
            await asyncio.sleep(TICK_S)
            now_s = time.monotonic()
            self._pump()
            self._check_time(now_s)
            if now_s - acked_s >= ACK_S:
                acked_s = now_s
                self._tell_drops()
                self._acknowledge()
            if now_s - heartbeat_s >= HEARTBEAT_S:
                heartbeat_s = now_s
                self._beat()
            if now_s - pinged_s >= PING_S:
                pinged_s = now_s
                await self._ping()

    def _check_time(self, now_s: float) -> None:
        settings = self._service.settings
        if now_s - self._alive_s > settings.idle_timeout_s:
            text = f"Nothing was heard of the client for {settings.idle_timeout_s:g} s."
            self._refuse(ProtocolError("idle_timeout", text, close_code=protocol.IDLE))
        elif now_s - self._opened_s > settings.max_session_s:
            text = f"A session may last {settings.max_session_s} s."
            self._refuse(ProtocolError("session_expired", text, close_code=protocol.TOO_LONG))

    async def _ping(self) -> None:
        """Whoever answers is alive, however late."""
        with suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(TICK_S):  # the socket may be full
                answer = asyncio.ensure_future(await self._socket.ping())
                answer.add_done_callback(self._answered)

    def _answered(self, answer: asyncio.Future[float]) -> None:
        if not answer.cancelled() and answer.exception() is None:
            self._alive()

    def _tell_drops(self) -> None:
        if self._dropped is not None:
            start_ms, end_ms = self._dropped
            self._dropped = None
            self._send(messages.Warn("audio_dropped", {"start_ms": start_ms, "end_ms": end_ms}))

    def _acknowledge(self) -> None:
        if self._intake is not None and self._dialect == "native":
            intake = self._intake
            counts = (intake.num_messages, intake.received_ms, self._processed_ms)
            self._send(messages.AudioAck(*counts, intake.dropped_ms, intake.credit_ms))

    @property
    def _processed_ms(self) -> int:
        progress = self._progress
        return ms(self._offset_s + max(0.0, progress.position_s - progress.waiting_s))

    def _beat(self) -> None:
        if self._dialect != "native":
            return
        received_ms = 0 if self._intake is None else self._intake.received_ms
        waiting_ms = 0 if self._intake is None else self._intake.waiting_ms
        progress = self._progress
        self._send(
            messages.Heartbeat(
                int(time.time() * 1000),
                max(0, received_ms - self._processed_ms),
                waiting_ms,
                ms(progress.unplayed_s),
                progress.overload_level,
            )
        )

    def _describe(self, *, is_first: bool = False) -> dict[str, Any]:
        service = self._service
        session: dict[str, Any] = {
            "id": self._id,
            "object": "realtime.translation_session",
            "type": "translation",
            "model": service.model,
            "expires_at": self._expires_at,
            "audio": self._config.describe(service.capabilities),
        }
        if is_first and self._dialect == "native":
            session |= introduce(service.capabilities, service.settings)
        return session
