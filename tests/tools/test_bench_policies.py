"""When one policy's curve lies on or above another's, and which point is close enough."""

from tools.bench_policies import best_until, close_enough, is_on_top

CURVE = [(1.0, 20.0), (2.0, 30.0), (3.0, 28.0)]


def test_the_best_quality_by_then() -> None:
    assert best_until(CURVE, 0.9) is None
    assert best_until(CURVE, 1.5) == 25.0
    assert best_until(CURVE, 2.5) == 30.0  # later, but worse, is no reason to be worse
    assert best_until(CURVE, 9.0) == 30.0


def test_on_or_above() -> None:
    assert is_on_top(CURVE, [[(1.5, 25.0)], [(4.0, 99.0)]])
    assert not is_on_top(CURVE, [[(1.5, 30.5)]])
    assert is_on_top(CURVE, [[(1.5, 30.5)]], tolerance=1.0)
    assert is_on_top(CURVE, [[]])


def test_close_enough() -> None:
    assert close_enough([(1.0, 20.0), (1.4, 28.0), (1.6, 31.0)], 30.0) == (1.4, 28.0)
    assert close_enough([(1.0, 20.0), (1.6, 31.0)], 30.0) is None
