"""Facts are plain JSON; the figures come from the facts alone."""

import json

import numpy as np
import pytest

from seamless_stream.engine.metrics import fact, json_line, summarize
from seamless_stream.events import Failed, Final, Speech

FINALS = [
    (Final(0, "spa", "¿Sí?", 0.0, 2.0, (7, 8), compute_s=0.5), 2.4),
    (Final(1, "spa", "No.", 3.0, 4.0, (9,), compute_s=0.3), 5.0),
]


def test_fact_is_a_json_line_without_samples() -> None:
    line = json_line(fact(Speech(0, "spa", np.zeros(160, np.float32), 16_000, (1, 2)), 1.23456))
    assert json.loads(line) == {
        "type": "Speech",
        "elapsed_s": 1.235,
        "segment": 0,
        "language": "spa",
        "rate": 16_000,
        "unit_ids": [1, 2],
        "num_samples": 160,
    }
    assert "¿Sí?" in json_line(fact(*FINALS[0]))


def test_summary_of_facts_read_back_is_that_of_the_run() -> None:
    facts = [fact(event, elapsed_s) for event, elapsed_s in FINALS] + [fact(Failed(2, "broken"), 6.0)]
    summary = summarize(facts, audio_s=8.0)
    assert summary == summarize([json.loads(json_line(item)) for item in facts], audio_s=8.0)
    assert (summary.num_finals, summary.num_failed) == (2, 1)
    assert summary.real_time_factor == pytest.approx(0.1)
    assert summary.mean_delay_s == pytest.approx(0.7)
    assert summary.max_delay_s == pytest.approx(1.0)


def test_nothing_said_has_no_figures() -> None:
    summary = summarize([], audio_s=0.0)
    assert (summary.real_time_factor, summary.mean_delay_s, summary.max_delay_s) == (0.0, 0.0, 0.0)
