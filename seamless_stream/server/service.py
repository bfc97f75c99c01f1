"""What all sessions of a server share, and what it tells of itself.

Knows no session and no connection.
"""

from dataclasses import dataclass, field
from typing import Any

from seamless_stream import __version__
from seamless_stream.engine.worker import Worker
from seamless_stream.models.base import Capabilities
from seamless_stream.server import opus
from seamless_stream.server.changes import MAX_RATE, MIN_RATE
from seamless_stream.server.metrics import Metrics
from seamless_stream.server.protocol import VERSION
from seamless_stream.settings import ServerSettings, SessionSettings


@dataclass(frozen=True)
class Service:
    """One model behind one address."""

    worker: Worker
    capabilities: Capabilities
    model: str  # its name
    session: SessionSettings
    settings: ServerSettings
    metrics: Metrics = field(default_factory=Metrics)
    model_revision: str | None = None  # its commit, or what its weights can be told by

    def introduce(self) -> dict[str, Any]:
        """What session.created tells a client of our own dialect besides the configuration."""
        return {
            "model_revision": self.model_revision,
            "server": f"seamless_stream {__version__}",
            "protocol": {"name": "seamless-stream", "version": VERSION},
            "capabilities": {
                "source_languages": list(self.capabilities.source_languages),
                "text_targets": list(self.capabilities.target_languages),
                "speech_targets": list(self.capabilities.speech_languages),
                "input_encodings": ["s16le", "f32le", "mulaw"] + (["opus"] if opus.IS_AVAILABLE else []),
                "input_rates": [MIN_RATE, MAX_RATE],
                "voices": self.capabilities.num_speakers,
                "features": [
                    "binary_audio",
                    "flush_marker",
                    "resume",
                    "listeners",
                    "multi_target",
                    "framed_input",
                    "clear",
                ]
                + (["words"] if self.capabilities.has_alignment else [])
                + (["transcription", "two_way"] if "asr" in self.capabilities.tasks else []),
            },
            "limits": {
                "max_message_bytes": self.settings.max_message_bytes,
                "max_messages_per_s": self.settings.max_messages_per_s,
                "max_ahead_ms": self.settings.max_ahead_ms,
                "max_session_s": self.settings.max_session_s,
                "idle_timeout_ms": round(1000 * self.settings.idle_timeout_s),
                "replay_bytes": self.settings.replay_bytes,
            },
        }
