"""`python -m ringctl.testing.simulator FROM TO [--bug NAME]`: replay seeds FROM to TO - 1, one line each."""

from __future__ import annotations

import argparse
import sys
import time

from ringctl.testing.simulator.bugs import BUGS
from ringctl.testing.simulator.run import Played, play


def line(played: Played) -> str:
    """One seed in one line."""
    acts = " ".join(f"{name}={count}" for name, count in sorted(played.acts.items()))
    ends = ",".join(played.ends)
    return (
        f"seed {played.seed} trace {played.trace:08x} switches {played.switches} hours {played.hours:.2f} "
        f"steps {played.begun} stops {played.stops} crashes {played.crashes} lost {played.refused} | {ends} | {acts}"
    )


def main() -> int:
    """Replay, and say what was found: exit 1 when a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m ringctl.testing.simulator", description=__doc__)
    parser.add_argument("first", type=int, metavar="FROM")
    parser.add_argument("last", type=int, metavar="TO")
    parser.add_argument("--bug", default="", choices=["", *BUGS], help="put a bug into the product")
    parser.add_argument("--as-is", action="store_true", help="without what `wanted` does for the product")
    parser.add_argument("--quiet", action="store_true", help="say only what is broken, and the sum")
    asked = parser.parse_args()
    began = time.process_time()
    hours, switches, broken = 0.0, 0, 0
    for seed in range(asked.first, asked.last):
        played = play(seed, asked.bug, as_is=asked.as_is)
        hours += played.hours
        switches += played.switches
        broken += bool(played.failure)
        if not asked.quiet or played.failure:
            sys.stdout.write(line(played) + "\n")
        if played.failure:
            sys.stdout.write(f"  BROKEN: {played.failure}\n")
    spent = time.process_time() - began
    count = asked.last - asked.first
    sys.stdout.write(
        f"{count} seeds, {broken} broken, {switches} switches, {hours:.1f} virtual hours, {spent:.1f} s\n"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
