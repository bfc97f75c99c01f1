"""What a policy decided and why, as one event: facts for a trace, made only where a session asks for them.

Knows a segment's place in the stream and the hypothesis before and after the guards. Decides nothing.
"""

from collections.abc import Sequence

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.engine.guards import Guarded
from seamless_stream.engine.hypothesis import Hypothesis
from seamless_stream.engine.policy import Verdict
from seamless_stream.engine.segment import Segment
from seamless_stream.events import Decided


def decided(
    segment: Segment, pieces: Sequence[str], raw: Hypothesis, guarded: Guarded, verdict: Verdict
) -> Decided:
    """`raw`: the hypothesis as the decoder gave it, with the pieces of its tokens."""
    # A segment that goes on from the one before begins with audio of that one.
    own_samples = segment.end_samples - segment.start_samples
    num_carried = segment.num_given + segment.num_waiting - own_samples
    from_samples = segment.start_samples - num_carried
    return Decided(
        segment.number,
        raw.language,
        from_samples / SAMPLE_RATE,
        (from_samples + raw.heard_samples) / SAMPLE_RATE,
        tuple(pieces),
        raw.frames,
        raw.num_frames,
        raw.num_committed,
        verdict.num_tokens,
        verdict.num_believed,
        len(guarded.hypothesis.token_ids),
        verdict.rule,
        verdict.place,
        guarded.reason,
    )
