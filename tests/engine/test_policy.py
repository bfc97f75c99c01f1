"""The policies on plain values."""

from seamless_stream.engine.hypothesis import Hypothesis
from seamless_stream.engine.policy import Segment


def test_segment_commits_nothing_before_the_end_and_everything_at_it() -> None:
    hypothesis = Hypothesis("spa", (11, 12, 13), -0.5, True)
    assert Segment().commit(hypothesis, source_finished=False) == 0
    assert Segment().commit(hypothesis, source_finished=True) == 3
