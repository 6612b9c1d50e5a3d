"""`status -o json` without the parser of options: what scripts ask for again and again costs a fifth of the time.

Only the plain forms are answered here, by the same read models; every other form goes the usual way (`runner`).
"""

import sys
from collections.abc import Sequence

from ringctl import bootstrap
from ringctl.cli.invocation import current
from ringctl.cli.machine import dumped


def answers(name: str, arguments: Sequence[str]) -> bool:
    """Whether this command line is one that `status` takes."""
    plain = len(arguments) <= 1 and not any(word.startswith("-") for word in arguments)
    return name == "status" and current().output == "json" and plain


def status(arguments: Sequence[str]) -> int:
    """What `ringctl.cli.status.status` prints with `-o json`."""
    from ringctl.engine import listing

    rollout = arguments[0] if arguments else ""
    with bootstrap.open_parts(current().state, migrate=False, actor=current().actor) as parts:
        if rollout:
            found = listing.find(parts, rollout)
            from ringctl.engine import queries

            document = queries.status(parts, found.id)
        else:
            document = listing.rollout_list(parts)
    sys.stdout.write(dumped(document, "json"))
    sys.stdout.flush()
    return 0
