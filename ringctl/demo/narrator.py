"""The demo's voice: one line per thing that happens, from the rollout's own journal."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ringctl.core.timing import SECOND, Instant
from ringctl.ports.records import Entry
from ringctl.ports.store import Store

Say = Callable[[str], None]


@dataclass(slots=True)
class Narrator:
    """Tells what the journal has that was not told yet."""

    store: Store
    rollout: str
    began_us: Instant
    say: Say
    told: int = 0
    withdrawn: list[str] = field(default_factory=list)

    def catch_up(self) -> None:
        """Tell everything new."""
        for entry in self.store.journal(self.rollout, after=self.told):
            self.told = entry.seq
            text = self._sentence(entry)
            if text:
                seconds = max(0, entry.at_us - self.began_us) / SECOND
                self.say(f"  {seconds:5.1f} s  {text}")

    def _sentence(self, entry: Entry) -> str:
        tell = SENTENCES.get(entry.kind)
        return tell(entry.payload) if tell else ""


Payload = Mapping[str, Any]


def _passed(data: Payload) -> str:
    seconds = data["bake_us"] / SECOND
    return f"{_wave(data)} PASSED after {seconds:.0f} s of bake and {data['activity']} answers"


def _failed(data: Payload) -> str:
    checks = "; ".join(f"{one['check']}: {one['reason']}" for one in data["checks"])
    return f"{_wave(data)} FAILED: {checks}"


def _held(data: Payload) -> str:
    return "" if data["code"] == "baseline" else f"HELD ({data['code']}, {data['error']})"


def _amended(data: Payload) -> str:
    return f"amended to {data['revision']} by {data['author']}: a {data['change']} change"


def _requalified(data: Payload) -> str:
    return f"{data['revision']} REQUALIFIED on {_accounts(data['accounts'])}; every ring starts with a canary again"


SENTENCES: Mapping[str, Callable[[Payload], str]] = {
    "wave-opened": lambda data: f"{_wave(data)} opened: {_accounts(data['accounts'])}",
    "wave-passed": _passed,
    "gate-failed": _failed,
    "held": _held,
    "amended": _amended,
    "requalified": _requalified,
    "finished": lambda data: f"finished: {data['state']}",
}


def _wave(data: Mapping[str, Any]) -> str:
    return f"{data['revision']} {data['ring']}/{data['wave_kind']}"


def _accounts(count: int) -> str:
    return f"{count} account" + ("" if count == 1 else "s")
