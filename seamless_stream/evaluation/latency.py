"""Latency metrics of simultaneous translation as pure functions of emission times and lengths.

A delay is the source time in ms that had been heard when a target unit (a word, or a character) was emitted; the same
functions over `elapsed` times give the computation-aware values. Lengths are ms of source and numbers of units.
Equal to SimulEval 1.1.4 and OmniSTEval 0.1.10 (tests/evaluation). Knows no log, no text and no model.

Letters of the formulas: d_i delay of unit i = 1..|Y|, |X| source length, |Y| hypothesis and |Y*| reference units.
"""

from collections.abc import Sequence
from itertools import accumulate, groupby, pairwise
from statistics import fmean

PSEUDO_TOKEN_MS = 300  # ATD cuts speech into tokens of this length
INFINITE = float("inf")

Times = Sequence[float]
Interval = tuple[float, float]  # start and duration, ms


def _mean_lag(delays: Times, step_ms: float) -> float:
    """Mean distance to an ideal system that starts at 0 and emits a unit every `step_ms`."""
    return fmean(delay - i * step_ms for i, delay in enumerate(delays))


def _until_end(delays: Times, source_ms: float) -> Times:
    """Delays up to and with the first one at or after the end of the source (tau of AL)."""
    for i, delay in enumerate(delays):
        if delay >= source_ms:
            return delays[: i + 1]
    return delays


def average_lagging(delays: Times, source_ms: float, reference_units: int) -> float:
    """AL = 1/tau sum_{i<=tau} d_i - (i-1)|X|/|Y*|, tau the first i with d_i >= |X|; d_1 if d_1 > |X|.

    Ma et al. 2019, STACL, https://arxiv.org/abs/1810.08398. Rewards hypotheses that are too long.
    """
    if delays[0] > source_ms:
        return delays[0]
    return _mean_lag(_until_end(delays, source_ms), source_ms / reference_units)


def length_adaptive_average_lagging(delays: Times, source_ms: float, reference_units: int) -> float:
    """LAAL: AL with max(|Y|, |Y*|) in place of |Y*|.

    Papi et al. 2022, https://arxiv.org/abs/2206.05807; Polák et al. 2022, https://arxiv.org/abs/2204.06028.
    """
    return average_lagging(delays, source_ms, max(len(delays), reference_units))


def differentiable_average_lagging(delays: Times, source_ms: float) -> float:
    """DAL = 1/|Y| sum_i d'_i - (i-1)|X|/|Y|, d'_1 = d_1, d'_i = max(d_i, d'_{i-1} + |X|/|Y|).

    Arivazhagan et al. 2019, MILk, https://arxiv.org/abs/1906.05218. |Y| is the hypothesis.
    """
    step_ms = source_ms / len(delays)
    return _mean_lag(list(accumulate(delays, lambda last, delay: max(delay, last + step_ms))), step_ms)


def average_proportion(delays: Times, source_ms: float, reference_units: int) -> float:
    """AP = sum_i d_i / (|X||Y*|). Cho and Esipova 2016, https://arxiv.org/abs/1606.02012."""
    return sum(delays) / (source_ms * reference_units)


def yaal(
    delays: Times, source_ms: float, reference_units: int, recording_end_ms: float | None = None
) -> float | None:
    """YAAL: LAAL over the units before the end of the source only; None where there is none.

    What is flushed at a known segment end says nothing about a policy. LongYAAL (`recording_end_ms` given: the end of
    the recording counted from the segment's start) ends at the end of the recording instead, so that words of a
    segment that come after it count. Polák et al. 2025, https://arxiv.org/abs/2509.17349.
    """
    end_ms = source_ms if recording_end_ms is None else recording_end_ms
    counted = _until_end(delays, end_ms)
    if counted and counted[-1] >= end_ms:
        counted = counted[:-1]
    if not counted:
        return None
    return _mean_lag(counted, source_ms / max(len(delays), reference_units))


def average_token_delay(
    delays: Times, elapsed: Times | None = None, durations_ms: Times | None = None
) -> float:
    """ATD = mean_t T(y_t) - T(x_a(t)): from the end of a target token to the end of the source token it could follow.

    The source is cut into tokens of 300 ms within each chunk that was waited for; a(t) = t less the tokens that the
    target is ahead of the source at the chunk's start. Text takes no time; with `durations_ms` of pieces of speech the
    target is cut into tokens of 300 ms too. `elapsed` adds the time of computing (computation-aware).
    Kano et al. 2023, https://arxiv.org/abs/2211.13173.
    """
    compute = [0.0] * len(delays)
    if elapsed is not None and any(elapsed):
        behind = [e - d for e, d in zip(elapsed, delays, strict=True)]
        compute = [now - before for before, now in pairwise([0.0, *behind])]
    chunks = [list(group) for _, group in groupby(range(len(delays)), key=lambda i: delays[i])]
    source_ends, num_source = _source_tokens([delays[chunk[0]] for chunk in chunks])
    lags: list[float] = []
    end_ms, num_target = 0.0, 0  # end of the last target token; tokens of the chunks before
    for number, chunk in enumerate(chunks):
        tokens = _target_tokens(chunk, compute, durations_ms)
        ahead = max(0, num_target - num_source[number])
        for position, (length_ms, compute_ms) in enumerate(tokens, num_target + 1):
            end_ms = max(delays[chunk[0]], end_ms) + length_ms + compute_ms
            lags.append(end_ms - source_ends[min(position - ahead, num_source[number + 1])])
        num_target += len(tokens)
    return fmean(lags)


def _source_tokens(chunk_ends: Times) -> tuple[list[float], list[int]]:
    """When each source token ends (0 first), and how many tokens there are before each chunk and at the end."""
    ends, counts = [0.0], [0]
    for before, now in pairwise([0.0, *chunk_ends]):
        for length_ms in _cut(now - before):
            ends.append(ends[-1] + length_ms)
        counts.append(len(ends) - 1)
    return ends, counts


def _target_tokens(
    chunk: Sequence[int], compute: Times, durations_ms: Times | None
) -> list[tuple[float, float]]:
    """(length, computing) of the target tokens that come out together."""
    if durations_ms is None:
        return [(0.0, compute[i]) for i in chunk]
    lengths = _cut(sum(durations_ms[i] for i in chunk))
    share = sum(compute[i] for i in chunk) / max(1, len(lengths))
    return [(length_ms, share) for length_ms in lengths]


def _cut(duration_ms: float) -> list[float]:
    number, rest = divmod(duration_ms, PSEUDO_TOKEN_MS)
    return [float(PSEUDO_TOKEN_MS)] * int(number) + ([rest] if rest else [])


def start_offset(delays: Times) -> float:
    """d_1: when the translation begins (SimulEval)."""
    return delays[0]


def end_offset(delays: Times, source_ms: float, intervals: Sequence[Interval] = ()) -> float:
    """How long after the source the translation ends: d_|Y| - |X|, for speech the end of the last piece - |X|."""
    end_ms = sum(intervals[-1]) if intervals else delays[-1]
    return end_ms - source_ms


def relative_end(delays: Times, source_ms: float, intervals: Sequence[Interval] = ()) -> float:
    """The end of the translation over the end of the source; SimulEval calls this RTF."""
    return (end_offset(delays, source_ms, intervals) + source_ms) / source_ms


def real_time_factor(compute_s: float, audio_s: float) -> float:
    """Seconds of computing per second of source: above 1 the system falls behind (simulstream's definition)."""
    return compute_s / audio_s


def intervals_of(delays: Times, durations_ms: Times) -> list[Interval]:
    """(start, duration) of pieces of speech that are played one after the other, none before its delay."""
    intervals: list[Interval] = []
    end_ms = -INFINITE
    for delay, duration_ms in zip(delays, durations_ms, strict=True):
        start_ms = max(end_ms, delay)
        intervals.append((start_ms, duration_ms))
        end_ms = start_ms + duration_ms
    return intervals


def discontinuities(intervals: Sequence[Interval]) -> list[float]:
    """Silences in ms between pieces of speech because the next one was not ready.

    SimulEval reports their sum, mean (0 for none) and number as DiscontinuitySum, DiscontinuityAve, DiscontinuityNum.
    """
    gaps = [after[0] - sum(before) for before, after in pairwise(intervals)]
    return [gap for gap in gaps if gap > 0]


def normalized_erasure(displays: Sequence[Sequence[str]]) -> tuple[int, int]:
    """(units that were erased, units that remained) over successive displays of one text.

    NE = 1/|Y| sum_i |o_{i-1}| - |LCP(o_{i-1}, o_i)|, erased over remained; below 0.2 it is called stable.
    Arivazhagan et al. 2020, https://aclanthology.org/2020.iwslt-1.27. A corpus divides the sums.
    """
    num_erased = sum(len(before) - common_prefix(before, after) for before, after in pairwise(displays))
    return num_erased, len(displays[-1]) if displays else 0


def common_prefix(left: Sequence[str], right: Sequence[str]) -> int:
    """How many units both begin with."""
    length = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        length += 1
    return length


def drift_per_minute(source_ends_s: Times, end_offsets_s: Times) -> float | None:
    """Slope of the end offsets of a recording's segments over source time, in s per minute (least squares).

    0 keeps its distance to the speaker; positive falls behind. None for fewer than two segments. Proposed for speech
    of long recordings by the IWSLT 2026 protocol, there as a plot.
    """
    if len(set(source_ends_s)) < 2:
        return None
    middle, mean_offset = fmean(source_ends_s), fmean(end_offsets_s)
    pairs = zip(source_ends_s, end_offsets_s, strict=True)
    covariance = sum((time - middle) * (offset - mean_offset) for time, offset in pairs)
    return 60 * covariance / sum((time - middle) ** 2 for time in source_ends_s)


def simultaneous_shares(
    delays: Sequence[Times], sources_ms: Times, lags: Sequence[float | None]
) -> tuple[float, float]:
    """(SWF, EFSW) in percent: units emitted before the end of their source, and the share that YAAL lets expect.

    More than 20 apart, OmniSTEval calls the policy degenerate: it waits for the end of most inputs.
    `lags` are YAAL values of the inputs. Polák et al. 2025, https://arxiv.org/abs/2509.17349.
    """
    num_units = sum(map(len, delays))
    num_early = sum(d < source_ms for times, source_ms in zip(delays, sources_ms, strict=True) for d in times)
    known = [(source_ms, lag) for source_ms, lag in zip(sources_ms, lags, strict=True) if lag is not None]
    heard_ms = sum(source_ms for source_ms, _ in known)
    expected_ms = sum(max(0.0, source_ms - lag) for source_ms, lag in known)
    return (
        100 * num_early / num_units if num_units else float("nan"),
        100 * expected_ms / heard_ms if heard_ms else float("nan"),
    )
