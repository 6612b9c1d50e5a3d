"""`gate backtest --from`: what a source remembers as recorded lines, kept on request."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ringctl import bootstrap
from ringctl.cli.gate_choice import cohorts_of, moment
from ringctl.cli.machine import json_text
from ringctl.cli.render import Busy, note, write_file
from ringctl.cli.style import show
from ringctl.core.errors import SourceUnavailable, UsageError
from ringctl.core.policy import Check, Policy
from ringctl.core.timing import Span
from ringctl.engine.recorded import Recording, parse
from ringctl.engine.rerecord import Line, Memory, remember

BEFORE = ".baseline.ndjson"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of `gate backtest` about a source's past, as given."""

    start: str
    end: str
    since: str
    canary: str
    control: str
    record: str

    @property
    def given(self) -> bool:
        """Whether any of them is."""
        return any((self.start, self.end, self.since, self.canary, self.control, self.record))

    def memory(self, step_us: Span, now_us: int) -> Memory:
        """Whom and when to ask about. Raises UsageError."""
        if not self.start or not self.canary:
            raise UsageError(
                "a past is asked for with --from TIME and --canary IDS (and --to, --since, --control)"
            )
        start, end = (
            moment(self.start, "--from", now_us),
            moment(self.end, "--to", now_us) if self.end else now_us,
        )
        since = moment(self.since, "--since", now_us) if self.since else start
        if not start <= since < end:
            raise UsageError(
                "the times are out of order: --from, then --since (when the canary was changed), then --to"
            )
        canary, control = cohorts_of(self.canary, self.control)
        return Memory(
            canary=canary, control=control, from_us=start, to_us=end, since_us=since, step_us=step_us
        )


def remembered(
    policy: Policy, folder: Path, checks: Mapping[str, Check], memory: Memory, asked: Asked, *, before: bool
) -> tuple[Recording, Recording | None]:
    """The series, and (where `before`) the hours before it; written to --record. Raises SourceUnavailable."""
    make = partial(bootstrap.metric_source, folder, {})
    sources = {name: make(policy.sources[name]) for name in {check.source for check in checks.values()}}
    zero = memory.from_us
    with Busy("asking the source for its past"):
        series = list(remember(checks, sources, memory, zero_us=zero))
        earlier: list[Line] = []
        span = max((check.history_us for check in checks.values()), default=0)
        if before and span > 0:
            try:
                earlier = list(remember(checks, sources, memory.past(span), zero_us=zero))
            except SourceUnavailable as error:
                note(f"warning: nothing is learnt from before: {error.code}: {show(error.message, 300)}")
    if asked.record:
        _keep(asked.record, series, earlier if before else None)
    lines = [json_text(one) for one in series]
    past = parse([json_text(one) for one in earlier], "the source's past", policy.checks) if earlier else None
    return parse(lines, "the source's past", policy.checks), past


def _keep(path: str, series: list[Line], earlier: list[Line] | None) -> None:
    """Write the lines to `path`, and those of before beside it: an empty file where there are none, so that no
    older one stands in. None: they were not asked for."""
    said = f"recorded {len(series):,} lines; again: ringctl gate backtest --series {show(path)}"
    write_file(path, "".join(json_text(one) + "\n" for one in series))
    if earlier is not None:
        write_file(path + BEFORE, "".join(json_text(one) + "\n" for one in earlier))
        said += f" --baseline {show(path + BEFORE)}"
    else:
        said += " and the same --baseline,"
    note(f"{said} --policy FILE")
