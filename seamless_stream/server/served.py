"""One client's session as the server keeps it: its configuration, audio in, events out, and the time it has.

Knows no socket: messages come by `take`, what is said lies in `outbox`, and connections come and go: a session may
outlive them. How the model gets its audio is in `feed.py`.
"""

import asyncio
import logging
import secrets
import time
from typing import Any, Final

from seamless_stream.errors import BusyError, SeamlessStreamError
from seamless_stream.events import Event
from seamless_stream.server import commands, messages, protocol
from seamless_stream.server.captions import Captions, Outgoing, ms
from seamless_stream.server.changes import SessionChange
from seamless_stream.server.commands import ClientMessage
from seamless_stream.server.configuration import apply, initial
from seamless_stream.server.feed import Feed
from seamless_stream.server.intake import Intake, Mark, Targets
from seamless_stream.server.listeners import Audience
from seamless_stream.server.messages import Dialect, ServerMessage
from seamless_stream.server.outbox import Outbox
from seamless_stream.server.protocol import ProtocolError
from seamless_stream.server.pulse import Pulse
from seamless_stream.server.seat import Reader, Seat, unknown_session
from seamless_stream.server.service import Service
from seamless_stream.server.sound import Sound
from seamless_stream.settings import SessionSettings

log = logging.getLogger(__name__)

TICK_S: Final = 0.1
MIN_CATCH_UP_S: Final = 10.0  # after a lost connection: what the client kept is on its way


class ServedSession:
    """`run` it as a task; `take` what the client sends; it is `finished`, then, when the client knows it, `gone`."""

    def __init__(self, service: Service, dialect: Dialect, change: SessionChange | None = None) -> None:
        settings = service.settings
        self.id = f"sess_{secrets.token_hex(12)}"
        self.listen_token = f"lt_{secrets.token_urlsafe(24)}"  # who has it may read the captions
        self.audience = Audience(settings.max_listeners)
        self.dialect = dialect
        self.settings = settings
        self.finished = asyncio.Event()  # nothing more will be said
        self.gone = asyncio.Event()
        self.close_code = protocol.NORMAL
        self._service = service
        self._config = initial(dialect, service.session, service.capabilities)
        if change is not None:
            self._config = apply(self._config, change, service.session, service.capabilities, is_open=False)
        self._captions = Captions(dialect, self._config.output_rate, age_ms=self._age_ms)
        self._feed: Feed | None = None  # from the first audio on
        self._closing: str | None = None  # why no more audio is taken
        replay_bytes = settings.replay_bytes if dialect == "native" else 0
        self.outbox = Outbox(dialect, settings.max_unsent_bytes, replay_bytes)
        self._sound = Sound(self._captions)
        self._opened_s = time.monotonic()
        self._pulse = Pulse(self._opened_s, settings.max_ahead_ms)
        self._max_backlog_ms = 0  # of unplayed speech
        self.expires_at = int(time.time()) + settings.max_session_s
        self.seat = Seat(self._opened_s)
        self.heard_s = self._opened_s  # when the last message came
        self.num_messages = 0  # of the client
        self._note_captions()
        self._send(messages.SessionCreated(self._describe(is_first=True)))

    async def run(self) -> None:
        """Until it is gone."""
        log.info("session opened", extra={"session": self.id, "dialect": self.dialect})
        try:
            while not self.gone.is_set():
                try:
                    async with asyncio.timeout(TICK_S):
                        await self.gone.wait()
                except TimeoutError:
                    self._tick(time.monotonic())
        except Exception:
            log.exception("session failed", extra={"session": self.id})
            self.finish(protocol.INTERNAL, "internal")
        finally:
            self.finished.set()
            self.gone.set()
            if self._feed is not None:
                self._feed.close()
            log.info("session closed", extra={"session": self.id, "code": self.close_code})

    # Connections.

    def attach(self, reader: Reader) -> None:
        """A connection is there; one before it is closed."""
        self.seat.take(reader, time.monotonic())

    def detach(self, reader: Reader, *, is_left: bool) -> None:
        """It is no longer there; `is_left`: the client will not come back."""
        if not self.seat.leave(reader, time.monotonic()):
            return
        can_resume = self.dialect == "native" and self.settings.resume_grace_s > 0
        has_failed = self.finished.is_set() and self.close_code not in (protocol.NORMAL, protocol.RESTART)
        if is_left or has_failed or not can_resume:
            self.leave("client" if is_left else "lost")
        else:
            log.info("connection lost", extra={"session": self.id})
            self.outbox.pause()

    def leave(self, reason: str = "lost") -> None:
        """Nobody will come back to it."""
        self.finish(self.close_code, self._closing or reason)
        self.gone.set()

    def resume(self, reader: Reader, message: commands.SessionResume) -> list[str]:
        """Another connection in the place of a broken one: what it is told first; raises ProtocolError."""
        if not self.seat.admits(message.token) or self.dialect != "native" or self.gone.is_set():
            raise unknown_session()
        gap = self.outbox.rewind(message.last_seq, message.last_frame)
        self.attach(reader)
        self.seat.rotate(message.token)
        received = (0, 0, 0)
        if self._feed is not None:
            intake = self._feed.intake
            intake.catches_up = True
            received = (intake.num_messages, intake.received_samples, intake.received_ms)
        epoch = self.seat.epoch
        resumed = messages.SessionResumed(
            self._describe() | {"resume": self._resume_with}, epoch, self.num_messages, *received, gap
        )
        log.info("session resumed", extra={"session": self.id, "connection": epoch})
        first: list[ServerMessage] = [resumed]
        if gap is not None:
            first.append(self.audience.transcript.snapshot())
        return [protocol.write(each, f"r{epoch}_{n}", with_seq=False) for n, each in enumerate(first)]

    @property
    def has_room(self) -> bool:
        """Whether another message should be read; else TCP holds the sender back."""
        if self._feed is None or self.finished.is_set():
            return True
        return self._feed.intake.has_room or self._drops

    @property
    def waiting_ms(self) -> int:
        """Audio that the worker has not got."""
        return 0 if self._feed is None else self._feed.intake.waiting_ms

    def drain(self) -> None:
        """The server stops: finish what was said, then close."""
        if self._closing is None:
            left_ms = ms(self.settings.drain_s)
            self._send(messages.GoAway("drain", left_ms, self.settings.resume_url))
            self.close_code = protocol.RESTART
            self._finish("drain")

    def finish(self, code: int, reason: str) -> None:
        """Nothing more is said; listeners hear why."""
        if not self.finished.is_set():
            self.close_code = code
            self.finished.set()
            self.outbox.close()
            self.audience.close(self._closed(reason))
            if self._feed is not None:
                self._feed.close()

    # Messages.

    def take(self, data: str | bytes) -> None:
        """One message of the client."""
        if self.finished.is_set():
            return
        self.seat.confirm()
        if self._closing != "drain":  # what is not counted the client keeps, for its next session
            self.num_messages += 1
        self.heard_s = time.monotonic()
        try:
            if isinstance(data, bytes):
                self._take_binary(data)
            else:
                self._take_text(data)
        except ProtocolError as error:
            self.refuse(error)

    def refuse(self, error: ProtocolError) -> None:
        """Say what was wrong; with a close code the session is over."""
        self.note(error)
        if error.close_code is not None:
            self.finish(error.close_code, error.code)

    def note(self, error: ProtocolError) -> None:
        """Say what was wrong; the session goes on."""
        self._send(error.message())

    def _take_binary(self, data: bytes) -> None:
        if self.dialect != "native":
            raise ProtocolError(
                "binary_not_allowed",
                f"Binary messages need the subprotocol {protocol.NATIVE}.",
                close_code=protocol.UNSUPPORTED,
            )
        if self._config.framing == "header":
            self._audio(*protocol.input_frame(data, self._config.encoding))
        else:
            self._audio(data)

    def _take_text(self, data: str) -> None:
        message = protocol.parse(data)
        try:
            self._obey(message)
        except ProtocolError as error:
            error.event_id = message.event_id
            raise

    def _obey(self, message: ClientMessage) -> None:
        if isinstance(message, commands.AudioAppend):
            self._audio(protocol.payload(message))
        elif isinstance(message, commands.SessionUpdate):
            self._update(message)
        elif isinstance(message, commands.Silence):
            self._pause(message.duration_ms)
        elif isinstance(message, commands.KeepAlive):
            pass  # as with Deepgram, whose word it is
        elif isinstance(message, commands.Ping):
            self._send(messages.Pong(message.id))
        elif isinstance(message, commands.SessionClose):
            if self._closing is None:
                self._finish("client")
        elif self.dialect != "native":
            raise ProtocolError(
                "unknown_type", f"`{message.type}` needs the subprotocol {protocol.NATIVE}.", param="type"
            )
        elif isinstance(message, commands.SessionResume):
            raise ProtocolError(
                "unknown_type", "`session.resume` must be a connection's first message.", param="type"
            )
        elif isinstance(message, commands.OutputPlayed):
            self._sound.played(message.up_to_sample)
        elif isinstance(message, commands.OutputClear):
            self._send(messages.OutputCleared(self._captions.silence()))
            self._sound.clear()
        else:
            self._pulse.arrivals.paused()
            self._put(Mark(message.marker))

    def _update(self, message: commands.SessionUpdate) -> None:
        service, old = self._service, self._config
        is_open = self._feed is not None
        self._config = apply(old, message.session, service.session, service.capabilities, is_open=is_open)
        self._note_captions()
        codes = self._config.languages.codes(service.capabilities)
        if is_open and codes != old.languages.codes(service.capabilities):
            self._put(Targets(codes))
        self._send(messages.SessionUpdated(self._describe()))

    def _note_captions(self) -> None:
        """What the configuration is to them; other languages begin at this place of the input."""
        captions, config = self._captions, self._config
        captions.output_rate = config.output_rate
        captions.mode, captions.min_interval_ms = config.caption_mode, config.caption_interval_ms
        start_ms = 0 if self._feed is None else self._feed.intake.received_ms
        captions.follow(config.languages, self._service.capabilities, start_ms)

    # Audio in.

    @property
    def _drops(self) -> bool:
        """Whether audio that comes too early is dropped; else it is not read."""
        catches_up = self._feed is not None and self._feed.intake.catches_up
        return self.dialect == "native" and self._config.pacing == "realtime" and not catches_up

    def _audio(self, data: bytes, first_sample: int | None = None) -> None:
        feed = self._open_feed()
        intake, before_ms = feed.intake, feed.intake.come_ms
        if self._drops and not intake.has_room:
            start_ms, end_ms = intake.drop(data, first_sample)
            self._service.metrics.dropped((end_ms - start_ms) / 1000)
            self._pulse.dropped(start_ms, end_ms)
        else:
            intake.push(data, first_sample)
        self._pulse.arrivals.came(intake.come_ms - before_ms, intake.received_ms, time.monotonic())
        feed.pump()

    def _pause(self, duration_ms: int) -> None:
        feed = self._open_feed()
        feed.intake.pause(duration_ms)
        self._pulse.arrivals.was_silent(duration_ms, feed.intake.received_ms, time.monotonic())
        feed.pump()

    def _open_feed(self) -> Feed:
        """Raises ProtocolError where there can be no audio now."""
        if self._closing is not None:
            raise ProtocolError("session_closing", "The session is closing and takes no more audio.")
        if self._config.code is None:
            raise ProtocolError(
                "language_required",
                "`session.audio.output.language` must be set before audio is sent.",
                param="session.audio.output.language",
            )
        self._feed = self._feed or self._begin()
        return self._feed

    def _begin(self) -> Feed:
        """The first audio: what was only a default is now fixed."""
        service, config = self._service, self._config
        self._config = config = config.begun(service.capabilities)
        self._note_captions()
        ahead_ms = self.settings.max_ahead_ms
        is_paced = config.pacing == "realtime"
        sound = self._sound
        sound.begin(config, self.dialect)
        ears = (sound.guard, sound.monitor)
        intake = Intake(config.encoding, config.input_rate, ahead_ms, *ears, is_paced=is_paced)
        intake.catches_up = self.seat.epoch > 1  # the first audio may be what could not be sent for a while
        settings = config.settings(service.session, service.capabilities)
        self._max_backlog_ms = ms(settings.speech.max_backlog_s)
        return Feed(service.worker, intake, settings, self, self.id)

    def _put(self, item: Mark | Targets) -> None:
        if self._feed is not None:
            self._feed.put(item)
        elif isinstance(item, Mark):
            self.reached(item)

    def _finish(self, reason: str) -> None:
        self._closing = reason
        self._put(Mark(None))

    # What the feed tells.

    def began(self, settings: SessionSettings) -> None:
        """The model begins anew, with these."""
        self._captions.begin(settings)

    def deliver(self, new: list[Event]) -> None:
        """What the model has made of the audio."""
        assert self._feed is not None
        elapsed_ms, now_s = ms(self._feed.elapsed_s), time.monotonic()
        if self._feed.mark is not None:
            is_flush, is_drain = self._feed.mark.marker is not None, self._closing == "drain"
            self._captions.ended_by = "flush" if is_flush else "drain" if is_drain else "close"
        for event in new:
            for message in self._captions.convert(event, elapsed_ms, now_s):
                self._sound.note(message)
                self._send(message)

    def _age_ms(self, place_ms: int) -> int:
        return round(self._pulse.arrivals.age_ms(place_ms, time.monotonic()))

    def reached(self, mark: Mark) -> None:
        """All before the mark is translated and sent."""
        offset_s = 0.0 if self._feed is None else self._feed.offset_s
        self._captions.restart(offset_s)
        if mark.marker is not None:
            self._send(messages.Flushed(mark.marker, ms(offset_s)))
            return
        for message in (*self._pulse.drops(), *self._sound.warnings(ms(offset_s), is_last=True)):
            self._send(message)
        reason = self._closing or "client"
        self._send(self._closed(reason))
        self.finish(self.close_code, reason)

    def _closed(self, reason: str) -> messages.SessionClosed:
        usage = {
            "audio_in_ms": 0 if self._feed is None else self._feed.intake.received_ms,
            "audio_out_ms": self._captions.num_samples * 1000 // self._config.output_rate,
            "segments": self._captions.num_finals,
            "dropped_ms": 0 if self._feed is None else self._feed.intake.dropped_ms,
        }
        return messages.SessionClosed(reason, usage)

    def fail(self, error: SeamlessStreamError | None) -> None:
        """The session cannot go on."""
        is_busy = isinstance(error, BusyError)
        text = "The worker has stopped." if error is None else str(error)
        code = "server_full" if is_busy else "session_failed"
        close_code = protocol.TRY_LATER if is_busy else protocol.WORKER_LOST
        retry_ms = 1000 * protocol.RETRY_S if is_busy else None
        self.refuse(
            ProtocolError(code, text, close_code=close_code, kind="server_error", retry_after_ms=retry_ms)
        )

    # Sending.

    def _send(self, message: Outgoing) -> None:
        if not self.outbox.put(message):
            self.seat.end(protocol.SLOW_READER)
        if not isinstance(message, bytes):
            self.audience.tell(message)

    # The clock.

    def _tick(self, now_s: float) -> None:
        self._check_time(now_s)
        if self.finished.is_set():
            return
        if self._feed is not None:
            intake = self._feed.intake
            self._feed.pump()
            if intake.catches_up and now_s - self.seat.taken_s > MIN_CATCH_UP_S:
                intake.catches_up = intake.waiting_ms > 1000
            for warning in self._sound.warnings(ms(self._feed.heard_s)):
                self._send(warning)
        if self.dialect == "native":
            for message in self._captions.due(now_s):
                self._send(message)
            unplayed_ms = self._sound.unplayed_ms
            is_live = self._config.pacing == "realtime" and self.seat.is_taken and self._closing is None
            if self._feed is not None and is_live:
                self._pulse.watch(now_s, self._feed, unplayed_ms, self._max_backlog_ms)
            for message in self._pulse.beat(now_s, self._feed, self.num_messages, unplayed_ms):
                self._send(message)

    def _check_time(self, now_s: float) -> None:
        settings = self.settings
        left_s = self.seat.left_s
        if left_s is not None and now_s - left_s > settings.resume_grace_s:
            self.leave()
        elif now_s - self._opened_s > settings.max_session_s and not self.finished.is_set():
            text = f"A session may last {settings.max_session_s} s."
            self.refuse(ProtocolError("session_expired", text, close_code=protocol.TOO_LONG))

    def _describe(self, *, is_first: bool = False) -> dict[str, Any]:
        service = self._service
        session: dict[str, Any] = {
            "id": self.id,
            "object": "realtime.translation_session",
            "type": "translation",
            "model": service.model,
            "expires_at": self.expires_at,
        }
        described = self._config.describe(service.session, service.capabilities)
        session |= described if self.dialect == "native" else {"audio": described["audio"]}
        if is_first and self.dialect == "native":
            session |= service.introduce()
            session["resume"] = self._resume_with
            path = f"/v1/realtime/translations/{self.id}/captions"
            session["listen"] = {"token": self.listen_token, "path": path}
        return session

    @property
    def _resume_with(self) -> dict[str, Any]:
        return {"token": self.seat.token, "grace_ms": ms(self.settings.resume_grace_s)}
