"""A line of evidence as a row of small bars."""

import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from ringctl.cli.invocation import current

BARS: Final = "▁▂▃▄▅▆▇█"
PLAIN: Final = "_.:-=+*#"  # where the output cannot write the bars
NOTHING: Final = " "


def bars_for(stream: object = None) -> str:
    """The bars that a stream (default: standard output) can write."""
    if current().output == "markdown":
        return BARS
    encoding = getattr(sys.stdout if stream is None else stream, "encoding", None) or "ascii"
    try:
        BARS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return PLAIN
    return BARS


def spark(heights: Sequence[float], width: int, bars: str = BARS) -> str:
    """Heights from 0 to 1 as at most `width` bars; below 0 is a gap; where there are too many, the highest of a few.

    The last bar is for 1 and above alone: it is seen at once whether a boundary was reached.
    """
    if len(heights) > width:
        cuts = [place * len(heights) // width for place in range(width + 1)]
        heights = [max(heights[a:b]) for a, b in pairwise(cuts)]
    return "".join(_bar(one, bars) for one in heights)


def _bar(height: float, bars: str) -> str:
    if height < 0:
        return NOTHING
    return bars[-1] if height >= 1 else bars[int(height * (len(bars) - 1))]
