"""The batch size goes toward the target and never runs away."""

import itertools

from ringctl.executors.pacing import Batching, Pace


def test_size_finds_the_target_and_keeps_to_its_bounds() -> None:
    pace = Pace(Batching(target_s=0.05, max_rows=5000))
    sizes = []
    for _ in range(60):
        sizes.append(pace.size)
        pace.succeeded(pace.size, 0.001 + pace.size / 20_000)
    assert 850 <= sizes[-1] <= 1000  # 0.05 s at 20 000 rows a second, less the fixed cost
    assert all(after <= max(before + 1, before * 1.3) for before, after in itertools.pairwise(sizes))
    quick = Pace(Batching(target_s=1.0, max_rows=500))
    for _ in range(30):
        quick.succeeded(quick.size, 0.0)
    assert quick.size == 500


def test_slow_batches_halve_it_at_most() -> None:
    pace = Pace(Batching(max_rows=5000))
    pace.succeeded(100, 100.0)
    assert pace.size == 50
    for _ in range(20):
        pace.succeeded(pace.size, 100.0)
    assert pace.size == 1
    pace.succeeded(1, 0.0001)
    assert pace.size >= 1


def test_third_failure_in_a_row_is_the_end() -> None:
    pace = Pace(Batching(max_rows=64))
    assert [pace.failed(), pace.failed(), pace.size] == [True, True, 16]
    pace.succeeded(16, 0.05)
    assert [pace.failed(), pace.failed(), pace.failed()] == [True, True, False]


def test_pause_follows_batch_time_and_trouble() -> None:
    pace = Pace(Batching(pause_s=0.02, nice=0.5))
    assert pace.pause(0.01) == 0.02
    assert pace.pause(0.1) == 0.05
    pace.failed()
    assert pace.pause(0.1) == 0.1
    pace.succeeded(10, 0.05)
    assert pace.pause(0.1) == 0.05
    eager = Pace(Batching())
    assert eager.pause(0.1) == 0.0
    eager.failed()
    assert eager.pause(0.0) > 0
