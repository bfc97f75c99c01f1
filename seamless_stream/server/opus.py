"""Opus packets to samples, by FFmpeg from the extra `media`; where it is not installed the encoding is not offered.

Knows nothing of sessions. A decoder keeps what it has heard, so that every stream needs one of its own.
"""

from importlib.util import find_spec
from typing import Final

import numpy as np

from seamless_stream.audio.pcm import Samples
from seamless_stream.server.protocol import BAD_MESSAGE, ProtocolError

RATE: Final = 48_000  # at which Opus decodes, however it was made
IS_AVAILABLE: Final = find_spec("av") is not None


class OpusDecoder:
    """Called with one packet after the other; mono."""

    def __init__(self) -> None:
        import av

        self._codec = av.CodecContext.create("opus", "r")
        self._codec.sample_rate, self._codec.layout = RATE, "mono"

    def __call__(self, packet: bytes) -> Samples:
        """Samples [n] at 48 kHz; raises ProtocolError that ends the connection where it is no packet."""
        import av

        if not packet:
            return np.zeros(0, np.float32)  # for the decoder it would be the end of the stream
        try:
            frames = self._codec.decode(av.Packet(packet))
        except (av.FFmpegError, EOFError) as error:
            text = f"A message must be one Opus packet, but is not: {error}."
            raise ProtocolError("misframed_audio", text, close_code=BAD_MESSAGE) from error
        parts = [frame.to_ndarray()[0] for frame in frames]
        samples: Samples = np.concatenate([np.zeros(0, np.float32), *parts]).astype(np.float32)
        return samples
