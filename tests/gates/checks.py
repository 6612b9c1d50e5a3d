"""Checks and streams that the judges' tests share."""

from dataclasses import replace

from ringctl.core.judging import Evidence, Judge
from ringctl.core.policy import Check, Counter, FailIf, Ratio, StepMeasure
from ringctl.gates.becomes_empty import BecomesEmpty
from ringctl.gates.before_vs_after import BeforeVsAfter
from ringctl.gates.shift import Shift
from ringctl.gates.split import Split
from ringctl.gates.threshold import Threshold
from ringctl.testing.judge_suite import Case, Story, stream

COUNTS = Ratio(
    y=Counter(name="http_requests_total", match={"code": "5.."}),
    n=Counter(name="http_requests_total"),
    of_counts=True,
)
ITEMS = Ratio(y=Counter(name="items_total"), n=Counter(name="queries_total"), of_counts=False)

ERRORS = Check(
    name="errors",
    source="scrape",
    measure=COUNTS,
    compare="canary-vs-control",
    fail_if=FailIf(increase=1.0),
    min_samples=100,
)
OWN = replace(ERRORS, compare="before-vs-after")
CEILING = replace(ERRORS, compare="threshold", fail_if=FailIf(above=0.05))
EMPTY = replace(ERRORS, name="answers", measure=ITEMS, fail_if=FailIf(becomes_empty=True))
EMPTY = replace(EMPTY, compare="before-vs-after")
SHIFT = replace(EMPTY, fail_if=FailIf(shift=0.5))
DURATION = Check(
    name="steps",
    source="steps",
    measure=StepMeasure(name="duration"),
    compare="threshold",
    fail_if=FailIf(p95=60.0),
)
FAILURES = replace(DURATION, measure=StepMeasure(name="failures"), fail_if=FailIf(above=0.5))

STORY = Story()
LONG = Story(before=80, done=200)  # accounts compared with themselves need a before


def case(
    judge: Judge,
    check: Check,
    healthy: tuple[float, float],
    harmful: tuple[float, float],
    *,
    accounts: int = 3,
    control: int = 8,
    story: Story = STORY,
) -> Case:
    """Streams of fixed (n, y) a look."""

    def made(after: tuple[float, float]) -> tuple[Evidence, ...]:
        return stream(story, accounts=accounts, control=control, before=healthy, after=after)

    return Case(judge=judge, check=check, healthy=made(healthy), harmful=made(harmful))


CASES = {
    "split": case(Split(), ERRORS, (50.0, 0.5), (50.0, 20.0)),
    "canary without control": case(Split(), ERRORS, (50.0, 0.5), (50.0, 20.0), control=2, story=LONG),
    "canary without control by threshold": case(
        Split(),
        replace(ERRORS, without_control="threshold", fail_if=FailIf(increase=1.0, above=0.05)),
        (50.0, 0.5),
        (50.0, 20.0),
        control=2,
    ),
    "no errors at all": case(Split(), ERRORS, (50.0, 0.0), (50.0, 20.0)),
    "before-vs-after": case(BeforeVsAfter(), OWN, (50.0, 0.5), (50.0, 20.0), control=0, story=LONG),
    "before-vs-after, one account": case(
        BeforeVsAfter(), OWN, (50.0, 1.5), (50.0, 20.0), accounts=1, control=0, story=LONG
    ),
    "threshold": case(Threshold(), CEILING, (50.0, 0.5), (50.0, 20.0)),
    "threshold, one account": case(Threshold(), CEILING, (50.0, 0.5), (50.0, 20.0), accounts=1),
    "duration": case(Threshold(), DURATION, (1.0, 30.0), (1.0, 90.0)),
    "duration, one account": case(Threshold(), DURATION, (1.0, 30.0), (1.0, 90.0), accounts=1),
    "failures": case(Threshold(), FAILURES, (1.0, 0.0), (1.0, 1.0)),
    "becomes-empty": case(BecomesEmpty(), EMPTY, (10.0, 80.0), (10.0, 0.0)),
    "becomes-empty, one account": case(BecomesEmpty(), EMPTY, (10.0, 80.0), (10.0, 0.0), accounts=1),
    "shift": case(Shift(), SHIFT, (10.0, 80.0), (10.0, 20.0)),
    "shift upwards": case(Shift(), SHIFT, (10.0, 80.0), (10.0, 200.0)),
}
