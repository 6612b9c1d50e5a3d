"""The static command table. `--help`, `--version` and completion import nothing of a third party.

A command's module is imported only when that command runs (UX 1.1: this keeps start-up at 1.3 times
bare Python, where importing everything costs 47 times).
"""

import sys

import ringctl

COMMANDS: dict[str, tuple[str, str, str]] = {
    "demo": ("demo", "a bad upgrade stopped in the canary, amended, requalified", "Start"),
    "explain": ("explain", "what an error code means, and the way out", "Start"),
    "completion": ("completion", "a completion script for bash, zsh or fish", "Start"),
    "help": ("topics", "help on a command, `exit-codes` or `environment`", "Start"),
    "policy": ("policy", "check, show or describe a policy", "Files"),
    "bundle": ("bundle", "check, digest or compare bundles", "Files"),
    "accounts": ("accounts", "the accounts of a policy, by ring; what covers what", "Files"),
    "plan": ("plan", "what a start would do: waves, canaries, reach; changes nothing", "Rollout"),
    "start": ("start", "start a rollout", "Rollout"),
    "status": ("status", "where a rollout stands; without one, the list", "Rollout"),
    "wait": ("start", "wait until a rollout is done, needs a person, or a time is over", "Rollout"),
    "why": ("status", "why a rollout stands still, and what would move it", "Rollout"),
    "pause": ("signals", "stop widening", "Rollout"),
    "resume": ("signals", "lift a hold", "Rollout"),
    "abort": ("signals", "end a rollout for good", "Rollout"),
    "retry": ("signals", "give failed or unknown accounts back", "Rollout"),
    "amend": ("amend", "a changed bundle: starts again in a small watched subset", "Rollout"),
    "gate": ("gate", "what the gates saw and decided", "Rollout"),
    "events": ("events", "the journal of a rollout", "Record"),
    "exposure": ("events", "who had which revision, from when to when", "Record"),
    "audit": ("events", "verify the journal's chain", "Record"),
    "tick": ("nodes", "one pass over the open rollouts, for cron or systemd", "Run"),
    "run": ("nodes", "the loop: decides, observes, works", "Run"),
    "work": ("nodes", "a worker: claims and runs accounts", "Run"),
    "nodes": ("nodes", "who is alive and what they hold; drain one", "Run"),
    "db": ("db", "migrate, check, count or back up the state store", "Run"),
    "doctor": ("doctor", "is this host and store to be trusted; --contend tries it", "Run"),
}
"""Name -> (module of ringctl.cli, one-line help, group)."""

USAGE = "usage: ringctl [GLOBAL OPTIONS] COMMAND [ARGS]"

GLOBAL_HELP = """\
Global options, before or after the command:
  --state URL           the state store (RINGCTL_STATE; default sqlite:///ringctl.db)
  -o, --output FORMAT   table, json, yaml, ndjson, markdown or junit
  --actor NAME          who acts (RINGCTL_ACTOR; default: the login name)
  -y, --yes             answer yes to what would be asked
  --no-input            never ask; refuse instead
  -q, -v                say less, say more
  --color WHEN          auto, always or never (NO_COLOR, FORCE_COLOR)
  -h, --help            help on the command
  --version             the version
"""


def help_text() -> str:
    """The overview, from the table alone."""
    lines = [
        f"ringctl {ringctl.__version__}: moves a change over a fleet, ring by ring, and stops by itself",
        "",
    ]
    lines += [USAGE]
    width = max(map(len, COMMANDS))
    group = ""
    for name, (_, text, its_group) in COMMANDS.items():
        if its_group != group:
            group = its_group
            lines += ["", group]
        lines.append(f"  {name:{width}}  {text}")
    lines += ["", GLOBAL_HELP, "Examples:"]
    lines += ["  ringctl demo", "  ringctl plan --policy policy.yaml --bundle upgrade/ --release 2026.47"]
    lines += ["", "More: ringctl COMMAND --help, ringctl help exit-codes, ringctl explain RC2002", ""]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run one command line; the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words in (["--version"], ["-V"]):
        return say(f"ringctl {ringctl.__version__}\n")
    if not words or words in (["--help"], ["-h"], ["help"]):
        return say(help_text())
    if words[0] == "__complete":
        from ringctl.cli.completion import candidates

        return say("".join(f"{word}\n" for word in candidates(words[1:])))
    from ringctl.cli.entry import dispatch

    return dispatch(words, COMMANDS, help_text())


def say(text: str) -> int:
    """Write to standard output; a reader that went away is no error of ours."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        from ringctl.cli.entry import broken_pipe

        return broken_pipe()
    return 0


if __name__ == "__main__":
    sys.exit(main())
