"""How a served session is cut, how early it writes, how its speech keeps up: the client's wishes over the settings.

Pure. What goes with a wish keeps its proportion to it; what session.updated shows is read off the settings that come
out, not off the wishes. Knows no languages and no audio formats.
"""

from dataclasses import dataclass, replace
from typing import Any

from seamless_stream.errors import SettingsError
from seamless_stream.server.changes import Backlog, Policy, TurnDetection, merged
from seamless_stream.server.protocol import ProtocolError
from seamless_stream.settings import (
    LATENCIES,
    Latency,
    SegmenterSettings,
    SessionSettings,
    SpeechSettings,
)


@dataclass(frozen=True)
class Tuning:
    """All wishes so far."""

    turns: TurnDetection = TurnDetection()
    backlog: Backlog = Backlog()
    latency: Latency = "balanced"

    def with_turns(self, change: TurnDetection | None) -> "Tuning":
        """And these."""
        return replace(self, turns=merged(self.turns, change))

    def with_backlog(self, change: Backlog | None) -> "Tuning":
        """And these."""
        return replace(self, backlog=merged(self.backlog, change))

    def with_policy(self, change: Policy | None) -> "Tuning":
        """And this."""
        latency = None if change is None else change.latency
        return self if latency is None else replace(self, latency=latency)

    def settings(self, base: SessionSettings) -> SessionSettings:
        """The server's with the wishes; a wish for one number wins over the latency. Raises SettingsError."""
        parts = LATENCIES[self.latency]
        policy = replace(base.policy, **parts.get("policy", {}))
        segmentation = replace(base.segmentation, **parts.get("segmentation", {}))
        return replace(
            base,
            policy=policy,
            segmentation=_cut(segmentation, self.turns),
            speech=_paced(base.speech, self.backlog),
        )

    def check(self, base: SessionSettings) -> None:
        """Whether the wishes go together; raises ProtocolError."""
        target_s, max_s = _backlog_s(base.speech, self.backlog)
        if max_s < target_s + 1:
            limit = f"at least 1000 above `target_ms` = {1000 * target_s:.0f}"
            text = f"`max_ms` must be {limit}, but is {1000 * max_s:.0f}."
            raise ProtocolError("invalid_value", text, param="session.speech.backlog.max_ms")
        try:
            self.settings(base)
        except SettingsError as error:  # the server's own settings leave no room for this latency
            raise ProtocolError(
                "invalid_value", str(error), param="session.translation.policy.latency"
            ) from error


def _cut(old: SegmenterSettings, wish: TurnDetection) -> SegmenterSettings:
    silence_ms = old.hang_over_ms if wish.silence_duration_ms is None else wish.silence_duration_ms
    hard_ms = old.hard_max_ms if wish.max_segment_ms is None else wish.max_segment_ms
    long_ms = old.hang_over_long_ms
    return replace(
        old,
        threshold=old.threshold if wish.threshold is None else wish.threshold,
        pre_roll_ms=old.pre_roll_ms if wish.prefix_padding_ms is None else wish.prefix_padding_ms,
        hang_over_ms=silence_ms,
        hang_over_long_ms=long_ms * silence_ms // old.hang_over_ms if old.hang_over_ms else long_ms,
        soft_max_ms=old.soft_max_ms * hard_ms // old.hard_max_ms,
        hard_max_ms=hard_ms,
    )


def _backlog_s(old: SpeechSettings, wish: Backlog) -> tuple[float, float]:
    target_s = old.target_backlog_s if wish.target_ms is None else wish.target_ms / 1000
    max_s = old.max_backlog_s if wish.max_ms is None else wish.max_ms / 1000
    return target_s, max_s


def _paced(old: SpeechSettings, wish: Backlog) -> SpeechSettings:
    target_s, max_s = _backlog_s(old, wish)
    tempo = old.max_tempo if wish.tempo_max is None else wish.tempo_max
    return replace(old, target_backlog_s=target_s, max_backlog_s=max_s, max_tempo=tempo)


def describe_turns(settings: SessionSettings) -> dict[str, Any]:
    """The `turn_detection` of session.updated."""
    segmentation = settings.segmentation
    return {
        "type": "server_vad",
        "threshold": segmentation.threshold,
        "prefix_padding_ms": segmentation.pre_roll_ms,
        "silence_duration_ms": segmentation.hang_over_ms,
        "max_segment_ms": segmentation.hard_max_ms,
    }


def describe_backlog(settings: SessionSettings) -> dict[str, Any]:
    """The `speech.backlog` of session.updated."""
    speech = settings.speech
    return {
        "target_ms": round(1000 * speech.target_backlog_s),
        "max_ms": round(1000 * speech.max_backlog_s),
        "tempo_max": speech.max_tempo,
        "overflow": "skip",
    }
