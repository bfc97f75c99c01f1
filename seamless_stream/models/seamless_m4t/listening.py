"""How the speech encoder hears a segment that is still open: a value that is its state, one call for many segments.

Work is done on a grid of source samples: a step is a fixed number of stacked frames since the segment's start, whatever
chunks the samples come in. What is heard between two grid points waits. Knows features and the encoder; knows nothing
of sessions, policies or text.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from seamless_stream.audio.fbank import HOP_SAMPLES, WINDOW_SAMPLES, fbank
from seamless_stream.errors import SettingsError
from seamless_stream.models.base import EncoderMode, EncoderOutput, Listening
from seamless_stream.models.seamless_m4t.encoder import AdaptorState, SpeechEncoder
from seamless_stream.models.seamless_m4t.features import (
    NO_STATISTICS,
    STACK,
    Features,
    Statistics,
    finished,
    normalise_running,
    running,
    stack,
)
from seamless_stream.nn.conformer import Conformer, ConformerState
from seamless_stream.nn.state import State

BINDING_FRAMES = 250  # stacked frames; a chunk of 5 s or more comes too late to be of use
MAX_EARLIER_FRAMES = 3_000  # fbank frames: 30 s of earlier segments say enough of a session's sound

_HEAD_SAMPLES = WINDOW_SAMPLES - HOP_SAMPLES  # a window reaches over the next hop's start


@dataclass(frozen=True)
class Reach:
    """How `reencode` and `windowed` listen, in stacked frames of 20 ms."""

    step_frames: int = 16  # how often: every 320 ms, two encoder states
    right_frames: int = 40  # windowed: what has 0.8 s behind it is settled ...
    left_frames: int = 200  # ... and 4 s before the unsettled end are remembered


@dataclass(frozen=True, eq=False)
class StreamState(State):
    """What the encoder remembers of an open segment."""

    conformer: ConformerState
    adaptor: AdaptorState


@dataclass(frozen=True, eq=False)
class SpeechListening:
    """One segment; `base.Listening` of this family."""

    mode: EncoderMode | None
    reach: Reach  # `step_frames` is the grid, in `chunked` the checkpoint's chunk
    earlier: Statistics  # of the session's earlier segments
    samples: np.ndarray  # [n] float32, from the first sample of the next step on
    num_samples: int = 0  # of the segment so far
    steps: tuple[np.ndarray, ...] = ()  # raw log-mel frames [STACK * step_frames, 80] of each step
    heard: Statistics = NO_STATISTICS  # of the steps behind `encoded`
    stream: StreamState | None = None
    encoded: EncoderOutput | None = None
    heard_samples: int = 0

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        arrays = sum(array.nbytes for array in (self.samples, *self.steps))
        states = sum(state.nbytes for state in (self.stream, self.encoded) if state is not None)
        return arrays + states + self.heard.nbytes + self.earlier.nbytes

    @property
    def step_samples(self) -> int:
        """Samples from one grid point to the next."""
        return self.reach.step_frames * STACK * HOP_SAMPLES

    def take(self, samples: np.ndarray) -> "SpeechListening":
        """With more samples, and the log-mel frames of the steps that they complete."""
        waiting = np.concatenate((self.samples, samples))
        num_steps = max(0, (len(waiting) - _HEAD_SAMPLES) // self.step_samples)
        end = num_steps * self.step_samples
        steps = self.steps
        if num_steps:
            frames = fbank(waiting[: end + _HEAD_SAMPLES])
            size = self.reach.step_frames * STACK
            steps += tuple(frames[at : at + size] for at in range(0, len(frames), size))
            waiting = waiting[end:].copy()  # a view would keep all of it alive
        return replace(self, samples=waiting, num_samples=self.num_samples + len(samples), steps=steps)

    @property
    def num_heard_steps(self) -> int:
        """Steps behind `encoded`."""
        return self.heard_samples // self.step_samples

    @property
    def num_waiting(self) -> int:
        """Steps that are complete and not heard."""
        return len(self.steps) - self.num_heard_steps

    @property
    def is_waiting(self) -> bool:
        return self.num_waiting > 0

    @property
    def newest_step(self) -> np.ndarray:
        """Log-mel frames of the last heard step."""
        return self.steps[self.num_heard_steps - 1]

    @property
    def statistics(self) -> Statistics:
        """What the heard steps are normalised with."""
        return running(self.heard, self.earlier)

    def next_step(self) -> "SpeechListening":
        """One waiting step counts as heard: its statistics and its samples."""
        at = self.num_heard_steps
        end = (at + 1) * self.step_samples + _HEAD_SAMPLES
        return replace(self, heard=self.heard + Statistics.of(self.steps[at]), heard_samples=end)

    def frames(self) -> np.ndarray:
        """All log-mel frames [T, 80], those of an unfinished step too."""
        return np.concatenate([*self.steps, fbank(self.samples)])


def modes(chunk_frames: int | None) -> tuple[EncoderMode, ...]:
    """What a checkpoint with this chunk size (None: always full context) can do, the best first."""
    if chunk_frames is None:
        return ("reencode",)
    if chunk_frames < BINDING_FRAMES:
        return ("chunked", "reencode", "windowed")
    return ("reencode", "windowed", "chunked")


def open_segment(
    encoder: SpeechEncoder, mode: EncoderMode | None, after: Listening | None, reach: Reach = Reach()
) -> SpeechListening:
    """Nothing heard yet; raises SettingsError for an unknown mode."""
    chunk = encoder.conformer.chunk_size if isinstance(encoder.conformer, Conformer) else None
    if mode not in (None, *modes(chunk)):
        raise SettingsError(f"`encoder_mode` must be {' or '.join(modes(chunk))}, but is {mode!r}.")
    earlier = NO_STATISTICS
    if after is not None:
        assert isinstance(after, SpeechListening)
        earlier = after.earlier + after.heard
        earlier = earlier.worth(MAX_EARLIER_FRAMES) if earlier.count > MAX_EARLIER_FRAMES else earlier
    if mode == "chunked" and chunk is not None:
        reach = replace(reach, step_frames=chunk)
    return SpeechListening(mode, reach, earlier, np.zeros(0, np.float32))


def encode(encoder: SpeechEncoder, features: Sequence[Features]) -> EncoderOutput:
    """Whole segments -> states [B, S, D]; each row as if it were alone."""
    weight = encoder.norm.weight
    values = [torch.from_numpy(f.values) for f in features]
    sizes = torch.tensor([len(v) for v in values], device=weight.device)
    lengths = torch.tensor([f.num_valid for f in features], device=weight.device)
    batch = pad_sequence(values, batch_first=True).to(weight.device, weight.dtype)  # [B, T, 160]
    states, lengths = encoder(batch, lengths, sizes)
    return EncoderOutput(states, lengths)


def listen(
    encoder: SpeechEncoder,
    segments: Sequence[Listening],
    samples: Sequence[np.ndarray],
    ended: Sequence[bool],
) -> list[SpeechListening]:
    """See `base.SpeechTranslator.listen`."""
    result = []
    for segment, new in zip(segments, samples, strict=True):
        assert isinstance(segment, SpeechListening)
        result.append(segment.take(new))
    whole: dict[int, tuple[SpeechListening, Features]] = {}
    streamed: dict[tuple[EncoderMode, Reach], list[int]] = defaultdict(list)
    for row, (segment, is_ended) in enumerate(zip(result, ended, strict=True)):
        if is_ended:
            whole[row] = _end(segment)
        elif segment.mode == "reencode" and segment.is_waiting:
            whole[row] = _reencode(segment)
        elif segment.mode is not None and segment.is_waiting:
            streamed[segment.mode, segment.reach].append(row)
    if whole:
        encoded = encode(encoder, [features for _, features in whole.values()])
        for row, states in zip(whole, _rows(encoded.states, encoded.lengths.tolist()), strict=True):
            result[row] = replace(whole[row][0], encoded=states)
    for rows in streamed.values():
        while rows:
            heard = _step(encoder, [result[row] for row in rows])
            for row, segment in zip(rows, heard, strict=True):
                result[row] = segment
            rows = [row for row in rows if result[row].is_waiting]
    return result


def _end(segment: SpeechListening) -> tuple[SpeechListening, Features]:
    """The whole segment with its exact statistics; what only an open segment needs is dropped."""
    frames = segment.frames()
    features = finished(frames, segment.num_samples)
    closed = replace(
        segment,
        samples=np.zeros(0, np.float32),
        steps=(),
        heard=Statistics.of(frames),
        stream=None,
        heard_samples=segment.num_samples,
    )
    return closed, features


def _reencode(segment: SpeechListening) -> tuple[SpeechListening, Features]:
    """All steps so far, normalised with what is known now."""
    # Step by step also here: the sums must not depend on how many steps came at once.
    for _ in range(segment.num_waiting):
        segment = segment.next_step()
    return segment, stack(normalise_running(np.concatenate(segment.steps), segment.statistics))


def _step(encoder: SpeechEncoder, segments: Sequence[SpeechListening]) -> list[SpeechListening]:
    """Segments of one mode, each with steps waiting: all steps in `chunked`, the next one in `windowed`."""
    advance_of = _chunks if segments[0].mode == "chunked" else _window
    heard, values, advance = zip(*(advance_of(segment) for segment in segments), strict=True)
    weight = encoder.norm.weight
    sizes = [len(rows) for rows in values]
    batch = pad_sequence([torch.from_numpy(rows) for rows in values], batch_first=True)  # [B, T, 160]
    known = [segment.stream or _initial(encoder) for segment in segments]
    frames, conformer = encoder.stream(
        batch.to(weight.device, weight.dtype),
        torch.tensor(sizes, device=weight.device),
        ConformerState.stack([stream.conformer for stream in known]),
        advance=torch.tensor(advance, device=weight.device),
        keep=_keep(encoder, segments[0]),
    )
    states, lengths, adaptors = encoder.adapt_stream(
        [frames[row, :size] for row, size in enumerate(sizes)],
        advance,
        [stream.adaptor for stream in known],
    )
    streams = map(StreamState, conformer.split(), adaptors)
    return [
        replace(segment, stream=stream, encoded=encoded)
        for segment, stream, encoded in zip(heard, streams, _rows(states, lengths), strict=True)
    ]


def _initial(encoder: SpeechEncoder) -> StreamState:
    return StreamState(encoder.init_state(1), encoder.init_adaptor_state())


def _keep(encoder: SpeechEncoder, segment: SpeechListening) -> int:
    """Conformer positions that the next state knows."""
    chunk = encoder.streaming.chunk_size
    bound = chunk * encoder.streaming.left_chunks
    # What is settled in `windowed` may end inside a chunk, all of which sees the same chunks before it.
    return bound if segment.mode == "chunked" else min(bound + chunk - 1, segment.reach.left_frames)


def _chunks(segment: SpeechListening) -> tuple[SpeechListening, np.ndarray, int]:
    """All waiting chunks as features [T, 160], each normalised with what was known at its end."""
    values = []
    for _ in range(segment.num_waiting):
        segment = segment.next_step()
        values.append(stack(normalise_running(segment.newest_step, segment.statistics)).values)
    rows = np.concatenate(values)
    return segment, rows, len(rows)


def _window(segment: SpeechListening) -> tuple[SpeechListening, np.ndarray, int]:
    """What is not settled and the next step as features [T, 160]; how much of it is settled now."""
    reach = segment.reach
    settled = max(0, segment.num_heard_steps * reach.step_frames - reach.right_frames)
    segment = segment.next_step()
    now = max(0, segment.num_heard_steps * reach.step_frames - reach.right_frames)
    first, skipped = divmod(settled, reach.step_frames)
    frames = np.concatenate(segment.steps[first : segment.num_heard_steps])[STACK * skipped :]
    return segment, stack(normalise_running(frames, segment.statistics)).values, now - settled


def _rows(states: Tensor, lengths: list[int]) -> list[EncoderOutput]:
    """Each row of [B, S, D] by itself, without filling."""
    return [
        EncoderOutput(states[row : row + 1, :length].clone(), torch.tensor([length], device=states.device))
        for row, length in enumerate(lengths)
    ]
