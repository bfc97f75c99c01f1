"""Policies: rules that say how many tokens of a hypothesis to commit, given what has been heard.

A policy is a small pure class; it sees one hypothesis and answers with a number, it keeps nothing and emits nothing.
"""

from typing import Protocol

from seamless_stream.engine.hypothesis import Hypothesis
from seamless_stream.settings import PolicyName


class Policy(Protocol):
    """What a session asks after every hypothesis."""

    wants_open_segments: bool  # False: no hypothesis is computed before the segment has ended

    def commit(self, hypothesis: Hypothesis, source_finished: bool) -> int:
        """How many leading tokens never change again; all of them once the source has finished."""


class Segment:
    """Wait for the end of the segment, then commit everything: the offline quality, and the longest delay."""

    wants_open_segments = False

    def commit(self, hypothesis: Hypothesis, source_finished: bool) -> int:
        """All or nothing."""
        return len(hypothesis.token_ids) if source_finished else 0


POLICIES: dict[PolicyName, type[Policy]] = {"segment": Segment}
