"""Help topics that belong to no command."""

from collections.abc import Sequence

from ringctl.core.errors import UsageError

HELP = """\
usage: ringctl help [COMMAND | exit-codes | environment]
"""

EXIT_CODES = """\
Exit codes (stable)
    0  done, or the asked-for state was reached
    1  unexpected error: a bug in ringctl (the traceback is in a file, its path is printed)
    2  wrong usage
    3  policy, bundle, configuration or plan invalid
    4  not allowed
    5  not found
   10  gate failed
   11  gate inconclusive, or no data
   12  sign-off, evidence or watcher missing
   13  frozen, or outside the window
   14  requalification under way
   15  aborted or rolled back
   16  lost a race: lease or version
   17  accounts failed or unknown
   18  plan stale, or script drifted
   19  plan unsafe: coverage, size, blast radius or forecast
   20  `plan --exit-code`: there is something to do
   21  partial success: accounts failed within the budget, deferred or skipped
   69  store, metrics or executor unreachable
  124  --timeout ran out; the rollout goes on
  130  Ctrl-C; the rollout goes on
  143  SIGTERM; the node drained
Of several holds the first of 18, 10, 17, 12, 14, 13, 11, 69 gives the code.
"""

ENVIRONMENT = """\
Environment (a flag goes before a variable, a variable before the default)
  RINGCTL_STATE      the state store: sqlite:///PATH; default sqlite:///ringctl.db
  RINGCTL_OUTPUT     as -o: table, json, yaml, ndjson, markdown or junit
  RINGCTL_ACTOR      as --actor: who acts; default: the login name
  RINGCTL_NO_INPUT   1: never ask; refuse instead (as --no-input)
  RINGCTL_STOP       not empty and not 0: no worker begins anything, and what runs is stopped
  RINGCTL_STOP_FILE  as --stop-file: while this file is there the same holds, store and controllers or not
  NO_COLOR           not empty: no colour, nothing else changes
  FORCE_COLOR        not empty and not 0: colour also into pipes (CLICOLOR_FORCE likewise)
  TERM               dumb: no colour and no rewritten lines
  COLUMNS            width of tables and messages, 40 to 100
"""

TOPICS = {"exit-codes": EXIT_CODES, "environment": ENVIRONMENT}


def topic(words: Sequence[str], overview: str) -> str:
    """The text of a topic, or the overview. Raises UsageError for one that is not known."""
    if not words:
        return overview
    if words[0] in {"-h", "--help"}:
        return HELP
    if words[0] in TOPICS:
        return TOPICS[words[0]]
    from ringctl.cli.names import unknown

    raise UsageError(unknown("topic", words[0], TOPICS), hint="ringctl --help lists commands and topics")
