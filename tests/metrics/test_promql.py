"""Queries are built so that no name, label or expression gets out of its quotes."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringctl.core.errors import SourceUnavailable
from ringctl.core.policy import Counter
from ringctl.core.timing import HOUR, MINUTE, SECOND
from ringctl.metrics.prometheus import MOST_A_SERIES, MOST_POINTS, Prometheus
from ringctl.metrics.promql import MOST_BYTES, MOST_NAMES, Narrowed, chunks, literal, members, queries
from tests.metrics.faulty import Answer, Asked, FaultServer, Handler, success

X = Counter(name="x")
NAMES = st.lists(st.text(max_size=12), max_size=30)
INSIDE = re.compile(r'x\{account=~"((?:[^"\\\n]|\\["\\n])*)"\}')


def matched(query: str) -> str:
    """The expression in the query's one matcher, as the server reads it; what is around it is ours alone."""
    selected = query.removeprefix("sum by (account) (").removesuffix(")")
    found = INSIDE.fullmatch(selected)
    assert found, query
    return re.sub(r'\\(["\\n])', lambda one: {"n": "\n"}.get(one[1], one[1]), found[1])


@given(NAMES)
def test_a_matcher_matches_its_names_and_nothing_else(names: list[str]) -> None:
    sound = {name for name in names if name}
    found: list[str] = []
    for piece in chunks(names):
        pattern = re.compile(matched(queries(X, Narrowed(names=piece))[0]), re.DOTALL)
        found += piece
        for name in {*names, "x", "account", "", "a|b"}:
            assert bool(pattern.fullmatch(name)) == (name in piece), (pattern, name)
    assert sorted(found) == sorted(sound)


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_literal_matches_itself(name: str, other: str) -> None:
    pattern = re.compile(literal(name), re.DOTALL)
    assert pattern.fullmatch(name)
    assert bool(pattern.fullmatch(other)) == (name == other)


@pytest.mark.parametrize(
    "name",
    ['a"} or up{x="', "a|b", ".*", "a\\", 'a\\"', "a\n} or vector(1)", ")", "a$", "^", "[a", "é漢", "{{x}}"],
)
def test_hostile_names_stay_inside(name: str) -> None:
    assert matched(queries(X, Narrowed(names=(name,)))[0]) == literal(name)


def test_names_are_cut_into_pieces_that_a_query_can_hold() -> None:
    pieces = list(chunks(f"a{place}" for place in range(1201)))
    assert [len(piece) for piece in pieces] == [MOST_NAMES, MOST_NAMES, 201]
    long = [f"{place:04d}" + "ä" * 1000 for place in range(40)]
    pieces = list(chunks(long))
    assert [name for piece in pieces for name in piece] == long
    assert all(len("|".join(piece).encode()) <= MOST_BYTES for piece in pieces)
    assert max(len(piece) for piece in pieces) == 16
    assert list(chunks(["." * 40_000])) == [("." * 40_000,)], "one that is too long alone goes alone"
    assert list(chunks(["a", "", "\ud800", "a"])) == [("a",)]


def test_a_cohort_is_joined_outside_of_timestamp() -> None:
    cohort = Counter(name="c", match={"rollout": 'r"1'})
    joined = 'and on (account) max by (account) (c{rollout=~"r\\"1"})'
    assert members(cohort) == 'max by (account) (c{rollout=~"r\\"1"})'
    assert queries(X, Narrowed(cohort=cohort)) == (
        f"sum by (account) (x {joined})",
        f"min by (account) (timestamp(x) {joined})",
    )
    assert queries(X, Narrowed(cohort=Counter(name="c"), at_s=5))[0].endswith("max by (account) (c @ 5.000))")


# -- the past ------------------------------------------------------------------------------------------
def api(series: int, asked: list[Asked], *, old_s: float = 10.0, later: int | None = None) -> FaultServer:
    """A server whose counters are their time in minutes; `later`: how many series there are from 01:01 on."""

    def answer(one: Asked) -> Answer:
        asked.append(one)
        query = one.form["query"]
        if query == "time()":
            return success("scalar", [1, "1700000000"])
        if query.startswith("count("):
            found = series if later is None or float(one.form["time"]) < (HOUR + MINUTE) / SECOND else later
            return success("vector", [{"metric": {}, "value": [1, str(found)]}])
        start, end, step = (float(one.form[name]) for name in ("start", "end", "step"))
        times = [start + step * place for place in range(round((end - start) / step) + 1)]
        aged = "timestamp(" in query
        points = [[at, f"{at - old_s if aged else at / 60}"] for at in times]
        return success("matrix", [{"metric": {"account": "a"}, "values": points}])

    return FaultServer(answer)


def history(
    server: FaultServer, *, minutes: int, accounts: list[str] | None = None, way: str = "all", **more: object
):
    source = Prometheus("p", {"url": server.url, "accounts": way, **more})
    return list(
        source.history(
            [X],
            accounts=accounts,
            from_us=HOUR,
            to_us=HOUR + minutes * MINUTE + 1,
            step_us=MINUTE,
            timeout_s=60,
        )
    )


@pytest.mark.parametrize(
    ("series", "accounts", "way", "most"),
    [
        (5, None, "all", 200),  # at least 1,000 accounts are reckoned with
        (10_000, None, "all", 20),
        (3_000_000, None, "all", 1),
        (5, ["a"], "matchers", MOST_A_SERIES),
        (5, [f"a{place}" for place in range(400)], "matchers", 500),
    ],
)
def test_no_answer_of_the_past_is_too_long(
    series: int, accounts: list[str] | None, way: str, most: int
) -> None:
    asked: list[Asked] = []
    minutes = min(25_000, most * 3)
    with api(series, asked) as server:
        tracks = history(server, minutes=minutes, accounts=accounts, way=way)
    assert max(lengths_of(asked)) == most
    assert most * len(accounts or "x" * min(series, MOST_POINTS)) <= MOST_POINTS
    if accounts is None or "a" in accounts:
        (track,) = tracks
        wanted = ((HOUR + place * MINUTE, 60.0 + place) for place in range(minutes + 1))
        assert track.points == tuple(wanted)


def lengths_of(asked: list[Asked]) -> list[int]:
    """How many points a series each answer of the past may hold."""
    ranges = [one.form for one in asked if one.path.endswith("query_range")]
    return [round((float(one["end"]) - float(one["start"])) / 60) + 1 for one in ranges]


@pytest.mark.parametrize(("first", "last"), [(5, 10_000), (10_000, 5)])
def test_the_past_is_cut_for_the_end_that_has_more_series(first: int, last: int) -> None:
    asked: list[Asked] = []
    with api(first, asked, later=last) as server:
        history(server, minutes=60)
    assert max(lengths_of(asked)) == MOST_POINTS // 10_000


@pytest.mark.parametrize(("old_s", "kept"), [(60, True), (61, False), (-60, True), (-61, False)])
def test_a_point_of_the_past_has_to_be_of_its_own_time(old_s: float, kept: bool) -> None:
    with api(5, [], old_s=old_s) as server:
        assert bool(history(server, minutes=5)) is kept


def test_one_answer_of_the_past_has_no_longer_than_the_sources_own_time_out() -> None:
    def slow(asked: Asked, before: Handler) -> Answer:
        delay_s = 3.0 if asked.path.endswith("query_range") else 0.0
        return replace(before(asked), delay_s=delay_s)

    with api(5, []) as server, server.answering(slow), pytest.raises(SourceUnavailable) as refused:
        history(server, minutes=5, timeout_us=SECOND)
    assert refused.value.code == "RC8004"


def test_an_empty_past_is_none() -> None:
    asked: list[Asked] = []
    with api(5, asked) as server:
        assert history(server, minutes=-5) == []
        assert history(server, minutes=5, max_age_us=9 * SECOND) == []


@pytest.mark.parametrize("step_us", [0, -MINUTE, 1, HOUR + 1])
def test_a_step_that_prometheus_has_not(step_us: int) -> None:
    past = Prometheus("p", {"url": "http://127.0.0.1:1"}).history(
        [X], accounts=None, from_us=0, to_us=HOUR, step_us=step_us, timeout_s=1
    )
    with pytest.raises(SourceUnavailable) as refused:
        list(past)
    assert refused.value.code == "RC8010"


@pytest.mark.parametrize(
    "result",
    [
        {"resultType": "vector", "result": []},
        {"resultType": "matrix", "result": ["x"]},
        {"resultType": "matrix", "result": [{"metric": [], "values": []}]},
        {"resultType": "matrix", "result": [{"metric": {}, "values": {}}]},
        {"resultType": "matrix", "result": [{"metric": {}, "values": [[1]]}]},
        {"resultType": "matrix", "result": [{"metric": {}, "values": [["1", "2"]]}]},
        {"resultType": "matrix", "result": [{"metric": {}, "values": [[True, "2"]]}]},
        {"resultType": "matrix", "result": [{"metric": {"account": "a"}, "values": []}] * 2},
    ],
)
def test_a_past_that_cannot_be_read(result: dict[str, object]) -> None:
    def answer(one: Asked) -> Answer:
        if one.path.endswith("query_range"):
            return success(str(result["resultType"]), result["result"])
        if one.form["query"] == "time()":
            return success("scalar", [1, "1700000000"])
        return success("vector", [])

    with FaultServer(answer) as server, pytest.raises(SourceUnavailable) as refused:
        history(server, minutes=5)
    assert refused.value.code == "RC8003"
