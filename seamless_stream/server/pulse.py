"""What a session of our own dialect says by the clock: acks with credit, heartbeats, audio that was dropped.

Pure but for the time of day in a heartbeat; asked often, it answers when it is time.
"""

import time
from collections.abc import Iterator
from typing import Final

from seamless_stream.engine.worker import Progress
from seamless_stream.server import messages
from seamless_stream.server.captions import ms
from seamless_stream.server.feed import Feed
from seamless_stream.server.messages import ServerMessage

ACK_S: Final = 0.5
HEARTBEAT_S: Final = 5.0


class Pulse:
    """Of one session, since `now_s`."""

    def __init__(self, now_s: float) -> None:
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

    def beat(
        self, now_s: float, feed: Feed | None, num_messages: int, unplayed_ms: int | None
    ) -> Iterator[ServerMessage]:
        """What should be said now; `unplayed_ms`: speech that the client has not played, where it tells."""
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
            progress = Progress()
            if feed is not None:
                progress, waiting_ms = feed.progress, feed.intake.waiting_ms
                lag_ms = max(0, feed.intake.received_ms - ms(feed.heard_s))
            backlog_ms = ms(progress.unplayed_s) if unplayed_ms is None else unplayed_ms
            now_ms = int(time.time() * 1000)
            yield messages.Heartbeat(now_ms, lag_ms, waiting_ms, backlog_ms, progress.overload_level)
