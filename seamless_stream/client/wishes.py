"""What a program asks of a session, as the change of configuration that the server is sent first.

Pure. Knows no sockets; whether it can be had is the server's to say.
"""

from collections.abc import Sequence

from seamless_stream.server.changes import (
    Audio,
    AudioFormat,
    InputAudio,
    Mode,
    OutputAudio,
    Pacing,
    Policy,
    TargetLanguage,
    Transcription,
    Translation,
)
from seamless_stream.settings import Latency


def audio_wish(
    to: str | Sequence[str],
    speaks: bool | None,
    transcribes: bool,
    pacing: Pacing,
    rate: int,
    output_rate: int | None,
) -> Audio:
    """Both directions; of one language the mode says whether it is spoken."""
    source = InputAudio(
        AudioFormat(encoding="s16le", rate=rate, channels=1),
        pacing,
        transcription=Transcription() if transcribes else None,
    )
    form = None if output_rate is None else AudioFormat(rate=output_rate)
    if not isinstance(to, str):
        return Audio(source, OutputAudio(format=form))
    mode: Mode | None = None if speaks is None else ("speech" if speaks else "text")
    return Audio(source, OutputAudio(to, form, mode=mode))


def translation_wish(
    to: str | Sequence[str],
    source: str | Sequence[str] | None,
    speaks: bool | None,
    latency: Latency | None,
) -> Translation:
    """The languages; of several each says for itself whether it is spoken."""
    return Translation(
        source if isinstance(source, str) else None,
        None if source is None or isinstance(source, str) else list(source),
        None if isinstance(to, str) else [TargetLanguage(language, speaks) for language in to],
        policy=None if latency is None else Policy(latency),
    )
