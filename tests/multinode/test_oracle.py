"""The oracle's functions see the damage they are there for, each on a record in which it was done by hand."""

from tests.multinode.oracle import (
    NOBODY,
    Acted,
    Loss,
    Sighting,
    backwards,
    book_lines,
    disordered,
    doubled,
    lost_decisions,
    open_bodies,
    orphans,
    overlapping,
    unlike_states,
)

GOOD = """\
start 7 r1 note 100 5000 10.00
start 9 r1 note 101 5100 20.00
stop 9 r1 note 101 5100 21.00
start 9 r1 bare 102 5200 21.05
stop 9 r1 bare 102 5200 21.10
start 12 r2 note 103 5300 30.00
stop 12 r2 note 103 5300 31.00
"""
EFFECTS = {"note": "done", "bare": "done"}
STEPS = ("note", "bare")


def test_a_good_book_is_well() -> None:
    book = book_lines(GOOD + "start 12 r2 ba")
    assert len(book) == 7
    assert doubled(book) + overlapping(book) + backwards(book) == []
    assert unlike_states(book, "r1", "done", STEPS, EFFECTS) == []
    assert list(open_bodies(book)) == ["100.5000"]


def test_a_second_effect_is_seen() -> None:
    book = book_lines(GOOD + "start 13 r2 note 104 5400 40.00\nstop 13 r2 note 104 5400 41.00\n")
    assert doubled(book) == ["note of r2 took effect 2 times"]
    assert unlike_states(book, "r2", "done", ("note",), {"note": "done"}) != []


def test_two_living_bodies_are_seen() -> None:
    later = (
        "start 10 r1 note 101 5100 20.00\nstart 11 r1 note 102 5200 20.50\nstop 10 r1 note 101 5100 21.00\n"
    )
    assert overlapping(book_lines(later)) == ["note (11) began while note (10) ran"]
    met = later.splitlines()[0] + "\noverlap 11 r1 note 101 5100 20.50\n"
    assert overlapping(book_lines(met)) == ["note (11) met a living body"]


def test_an_old_claim_that_begins_late_is_seen() -> None:
    assert backwards(book_lines(GOOD + "start 11 r2 bare 105 5500 50.00\n")) != []


def test_states_that_the_book_does_not_bear_out_are_seen() -> None:
    book = book_lines(GOOD)
    assert unlike_states(book, "r2", "done", STEPS, {"note": "done", "bare": "done"}) != []
    assert unlike_states(book, "r2", "unknown", STEPS, {"note": "done", "bare": "unknown"}) == []
    assert unlike_states(book, "r2", "failed", STEPS, {"note": "failed"}) != []
    assert unlike_states(book, "r2", "pending", ("note",), {}) != []


def test_a_log_out_of_order_is_seen() -> None:
    assert disordered([(1, "body 7 note"), (2, "else"), (3, "body 9 note")]) == []
    assert disordered([(1, "body 7 note"), (3, "body 9 note")]) != []
    assert disordered([(1, "body 9 note"), (2, "body 7 note")]) != []


def test_lost_and_invented_decisions_are_seen() -> None:
    acted = [Acted("a", True), Acted("b", False), Acted("c", False)]
    assert lost_decisions(acted, ["a", "b"]) == []
    assert lost_decisions(acted, ["b"]) == ["decision a (acknowledged) is there 0 times"]
    assert lost_decisions(acted, ["a", "b", "b"]) != []
    assert lost_decisions(acted, ["a", "x"]) == ["decision x was never sent"]


def test_a_body_that_outlives_its_node_is_seen() -> None:
    killed, stopped = Loss(1, 100.0), Loss(2, 200.0, 209.0)
    fine = [
        Sighting("1.1", 1, 99.0, 100.5),
        Sighting("2.2", 2, 199.0, 201.9),
        Sighting("3.3", 2, 210.0, 230.0),
    ]
    assert orphans(fine, [killed, stopped], within_s=3.5) == []
    assert orphans([Sighting("1.1", 1, 99.0, 105.0)], [killed], within_s=3.5) != []
    assert orphans([Sighting("2.2", 2, 199.0, 204.0)], [stopped], within_s=3.5) != []
    assert orphans([Sighting("4.4", NOBODY, 100.0, 101.0)], [], within_s=3.5) == []
    assert orphans([Sighting("4.4", NOBODY, 100.0, 105.0)], [], within_s=3.5) != []
    assert orphans([Sighting("2.2", 2, 199.0, 201.0)], [Loss(2, 200.0, 200.5)], within_s=3.5) == []
