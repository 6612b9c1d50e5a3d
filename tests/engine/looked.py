"""What looks are told by in tests: the saved control and numbers, and a source with a past."""

import json
from dataclasses import replace

from ringctl.core.errors import SourceUnavailable
from ringctl.engine.looking import CONTROL
from ringctl.engine.observe import Observer
from ringctl.ports.metrics import Track


def control(world, rollout, wave=0):
    """The control that is saved for a wave."""
    now = world.load(rollout)
    states = world.parts.store.watched(now, now.waves[wave]).states
    return json.loads(states[CONTROL])["accounts"]


def numbers(world, rollout, check="errors"):
    return dict(world.facts(rollout).checks[check].numbers)


class Remembering:
    """A source with a past: a hundred requests an hour; or one that fails to tell it `failures` times."""

    def __init__(self, source, failures=0):
        self.source, self.failures = source, failures
        self.asked = []
        self.name = source.name

    def read(self, counters, timeout_s, *, accounts=None):
        return self.source.read(counters, timeout_s, accounts=accounts)

    def history(self, counters, **asked):
        self.asked.append(asked)
        if len(self.asked) <= self.failures:
            raise SourceUnavailable("no such range", code="RC8005")
        times = range(asked["from_us"], asked["to_us"] + 1, asked["step_us"])
        for counter in counters:
            rate = 1 if counter.name == "bad" else 100
            for account in asked["accounts"]:
                yield Track(counter, account, tuple((at, float(rate * n)) for n, at in enumerate(times)))


def remembering(world, failures=0):
    source = Remembering(world.source, failures)
    world.parts = replace(world.parts, source=lambda _spec: source)
    world.observer = Observer(parts=world.parts)
    return source
