"""What a look heard of its source, as it is kept with a verdict: in a rollout and in `gate check` alike."""

from ringctl.core.errors import SourceUnavailable
from ringctl.core.judging import Evidence
from ringctl.core.observing import PARTIAL, Watch, counters_of, series
from ringctl.core.policy import Check
from ringctl.ports.metrics import Reading

WARNINGS_SHOWN = 5
QUERIES_SHOWN = 4
WORDS_SHOWN = 300

Answer = Reading | SourceUnavailable | None


def whole(reading: Reading) -> Reading:
    """The reading. Raises SourceUnavailable RC8006, with the source's own words, where it answered in part."""
    if not reading.partial:
        return reading
    said = "; ".join(reading.warnings[:WARNINGS_SHOWN])[:WORDS_SHOWN]
    raise SourceUnavailable(f"the source answered in part{f': {said}' if said else ''}", code=PARTIAL)


def heard(check: Check, evidence: Evidence, answer: Answer, watch: Watch) -> dict[str, object]:
    """Who was expected and who answered, what was asked, the source's warnings: a part of the verdict's numbers."""
    reporting = sum(cell.n is not None for cell in evidence.touched)
    found: dict[str, object] = {"accounts": [reporting, evidence.expected]}
    if not isinstance(answer, Reading):
        return found
    if not evidence.error:
        found["series"] = list(series(check, answer, watch))
    found["queries"] = _queries(check, answer)
    if answer.warnings:
        found["warnings"] = list(answer.warnings[:WARNINGS_SHOWN])
    return found


def _queries(check: Check, answer: Reading) -> list[str]:
    """Those of the check's own counters; of many, some of each counter."""
    counters = counters_of(check)
    share = QUERIES_SHOWN // max(1, len(counters))
    some = [query for counter in counters for query in answer.queries_of((counter,))[:share]]
    return list(dict.fromkeys((*some, *answer.queries_of(counters))))[:QUERIES_SHOWN]
