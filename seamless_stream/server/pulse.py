"""What a session of our own dialect says by the clock: acks with credit, heartbeats, warnings.

Pure but for the time of day in a heartbeat; asked often, it answers when it is time. How often the same warning is told
is `alarms.py`.
"""

import time
from collections.abc import Iterator
from typing import Final

from seamless_stream.engine.worker import Progress
from seamless_stream.server import messages
from seamless_stream.server.alarms import Alarms
from seamless_stream.server.arrivals import Arrivals
from seamless_stream.server.captions import ms
from seamless_stream.server.feed import Feed
from seamless_stream.server.messages import ServerMessage

ACK_S: Final = 0.5
HEARTBEAT_S: Final = 5.0
STALLED_MS: Final = 3_000  # without audio that should come
STUCK_S: Final = 2.0  # of audio that the worker was given and has not even taken: it is in one long step


class Pulse:
    """Of one session, since `now_s`."""

    def __init__(self, now_s: float, max_ahead_ms: int) -> None:
        self.alarms = Alarms()
        self.arrivals = Arrivals(now_s)
        self._max_ahead_ms = max_ahead_ms
        self._acked_s = self._beat_s = now_s
        self._dropped: tuple[int, int] | None = None  # not yet told, ms

    def dropped(self, start_ms: int, end_ms: int) -> None:
        """This part of the input has found no room."""
        self._dropped = (start_ms if self._dropped is None else self._dropped[0], end_ms)

    def drops(self) -> Iterator[ServerMessage]:
        """What was not yet told of it."""
        if self._dropped is not None:
            start_ms, end_ms = self._dropped
            self._dropped = None
            yield messages.Warn("audio_dropped", {"start_ms": start_ms, "end_ms": end_ms})

    def watch(self, now_s: float, feed: Feed, unplayed_ms: int | None, max_backlog_ms: int) -> None:
        """Look for what to warn of; only where sound is live and the client is there."""
        see, arrivals = self.alarms.see, self.arrivals
        if feed.intake.catches_up:
            arrivals.forgive(now_s)
        ahead_ms, stalled_ms = arrivals.ahead_ms(now_s), arrivals.stalled_ms(now_s)
        see("audio_too_fast", ahead_ms > self._max_ahead_ms / 2, now_s, ahead_ms=round(ahead_ms))
        is_stalled = stalled_ms > STALLED_MS
        see(
            "audio_stalled",
            is_stalled,
            now_s,
            received_ms=feed.intake.received_ms,
            stalled_ms=round(stalled_ms),
        )
        level = max(feed.progress.overload_level, int(feed.untaken_s > STUCK_S))
        see("falling_behind", level > 0, now_s, level=level, lag_ms=_lag_ms(feed))
        backlog_ms = _backlog_ms(feed.progress, unplayed_ms)
        is_long = backlog_ms > max_backlog_ms
        see("speech_backlog", is_long, now_s, backlog_ms=backlog_ms, max_ms=max_backlog_ms)

    def beat(
        self, now_s: float, feed: Feed | None, num_messages: int, unplayed_ms: int | None
    ) -> Iterator[ServerMessage]:
        """What should be said now; `unplayed_ms`: speech that the client has not played, where it tells."""
        yield from self.alarms.news()
        if now_s - self._acked_s >= ACK_S:
            self._acked_s = now_s
            yield from self.drops()
            if feed is not None:
                intake = feed.intake
                counts = (num_messages, intake.num_messages, intake.received_ms, ms(feed.heard_s))
                yield messages.AudioAck(*counts, intake.dropped_ms, intake.credit_ms)
        if now_s - self._beat_s >= HEARTBEAT_S:
            self._beat_s = now_s
            lag_ms = waiting_ms = 0
            progress, factor = Progress(), 0.0
            if feed is not None:
                factor = round(feed.realtime_factor, 3)
                progress, waiting_ms = feed.progress, feed.intake.waiting_ms
                lag_ms = _lag_ms(feed)
            backlog_ms = _backlog_ms(progress, unplayed_ms)
            now_ms = int(time.time() * 1000)
            level = progress.overload_level
            yield messages.Heartbeat(now_ms, lag_ms, waiting_ms, backlog_ms, level, factor)


def _lag_ms(feed: Feed) -> int:
    """Audio that was received and not heard."""
    return max(0, feed.intake.received_ms - ms(feed.heard_s))


def _backlog_ms(progress: Progress, unplayed_ms: int | None) -> int:
    """Speech that is not played yet, as the client says, else as it would be if all is played at once."""
    return ms(progress.unplayed_s) if unplayed_ms is None else unplayed_ms
