"""Writes docs/reference/ from the code: commands, exit codes, policy, bundle, errors, states.

Nothing there is written by hand, so nothing there can be wrong for long: `--check` compares the pages with
what the code says now and fails on any difference (tests/docs/test_reference.py calls it).
"""

import contextlib
import difflib
import inspect
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ringctl.__main__ import COMMANDS, help_text, main
from ringctl.cli import explain, manifest, topics
from ringctl.core import errors, holds, states
from ringctl.engine.loop import EXIT_OF_HOLD, EXIT_OF_STATE
from ringctl.settings import bundle_fields, policy_fields
from scripts.docs_fields import fields_page

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "reference"
NOTE = "<!-- Written by scripts/docs from the code. Do not edit: change the code, then run scripts/docs. -->"


def page(title: str, *parts: str) -> str:
    """A page: title, the note, and its parts with an empty line between them."""
    return "\n\n".join([f"# {title}", NOTE, *(part.strip("\n") for part in parts)]) + "\n"


def fenced(text: str, language: str = "text") -> str:
    """A fenced block."""
    return f"```{language}\n{text.rstrip()}\n```"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; bars within a cell are escaped."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


# -- commands -------------------------------------------------------------------------------------
def said(*words: str) -> str:
    """What the program prints for these words."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        main(list(words))
    return out.getvalue()


def commands_page() -> str:
    """Every command with its help, in the groups of the overview."""
    parts = [
        "What `ringctl --help` and `ringctl COMMAND --help` print. Global options go before or after the command.",
        fenced(help_text()),
    ]
    group = ""
    for name, (_, text, its_group) in COMMANDS.items():
        if its_group != group:
            group = its_group
            parts.append(f"## {group}")
        names = [f"{name} {sub}" for sub in manifest.subcommands(name)] or [name]
        parts += [f"### {one}\n\n{_lead(one, name, text)}{fenced(_help(one))}" for one in names]
    parts += ["## Environment", fenced(topics.ENVIRONMENT)]
    return page("Commands", *parts)


def _lead(command: str, name: str, text: str) -> str:
    return f"{text[0].upper()}{text[1:]}.\n\n" if command == name else ""


def _help(command: str) -> str:
    words = command.split()
    if command == "help":
        return topics.HELP
    if command == "completion":
        return said("completion", "--help")
    return said(*words, "--help").split("\n  Global options (")[0]


# -- exit codes -----------------------------------------------------------------------------------
def exit_codes_page() -> str:
    """The codes, and what gives them."""
    placed, passing = _holds()
    asking = sorted(placed - passing, key=lambda code: (EXIT_OF_HOLD[code], code))
    waits = [(f"`{code}`", str(EXIT_OF_HOLD[code])) for code in asking]
    ends = [(f"`{state}`", str(number)) for state, number in EXIT_OF_STATE.items()]
    kinds = [
        (f"`{kind.__name__}`", str(kind.exit_code), kind.default_code, (kind.__doc__ or "").split("\n")[0])
        for kind in _tree(errors.RingctlError)
        if kind is not errors.RingctlError
    ]
    return page(
        "Exit codes",
        "They are stable: scripts may rely on them. No command of this version ends with 11, 13 or 14: "
        "`wait` waits such holds out, or they belong to what is not built yet.",
        fenced(topics.EXIT_CODES),
        "## `wait` and `start --wait`: holds\n\n"
        f"Holds that end by themselves are waited out: {', '.join(f'`{code}`' for code in sorted(passing))}. "
        "One that only a person can end is answered at once:",
        table(("Hold", "Exit code"), waits),
        "## `wait` and `start --wait`: the end\n",
        table(("State", "Exit code"), ends),
        "## Errors\n\nA command that is refused ends with the code of its error:",
        table(("Error", "Exit code", "Usual RC code", "Meaning"), kinds),
    )


def _holds() -> tuple[set[str], set[str]]:
    """Codes of all holds that ringctl or a person places, and of those among them that end by themselves."""
    text = inspect.getsource(holds)
    passing = set(re.findall(r'_passing\(\s*"([a-z-]+)"', text))
    return passing | set(re.findall(r'(?:_own\(\s*|code=)"([a-z-]+)"', text)), passing


def _tree(kind: type[errors.RingctlError]) -> Iterator[type[errors.RingctlError]]:
    """The class and those below it that `ringctl.core.errors` defines."""
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from _tree(below)


# -- errors ---------------------------------------------------------------------------------------
def errors_page() -> str:
    """Every page of `ringctl explain`, with an index."""
    titles = explain.titles()
    parts = ["The pages of `ringctl explain CODE`, which prints them without a network."]
    for digit, about in explain.GROUPS.items():
        rows = [(f"[{code}](#{code.lower()})", title) for code, title in titles.items() if code[2] == digit]
        if rows:
            parts += [f"## RC{digit}xxx: {about}", table(("Code", "Meaning"), rows)]
    parts.append("## All pages")
    for code, title in titles.items():
        text = (explain.PAGES / f"{code}.md").read_text(encoding="utf-8")
        parts += [f'<a id="{code.lower()}"></a>', f"### {code}: {title}"]
        parts += [f"**{heading}**\n\n{body}" for heading, body in explain.sections(text).items()]
    return page("Error codes", *parts)


# -- states ---------------------------------------------------------------------------------------
def states_page() -> str:
    """The tables of `core/states.py`, drawn."""
    machines: tuple[tuple[str, str, Mapping[str, Mapping[str, str]]], ...] = (
        ("Rollout", "pending", {str(a): {str(b): r for b, r in e.items()} for a, e in states.ROLLOUT_EDGES.items()}),
        ("Wave", "planned", {str(a): {str(b): r for b, r in e.items()} for a, e in states.WAVE_EDGES.items()}),
        ("Task", "waiting", {str(a): {str(b): r for b, r in e.items()} for a, e in states.TASK_EDGES.items()}),
    )  # fmt: skip
    parts = [
        (
            "A state changes only along an edge of these tables; any other move is refused as a bug (RC0001). "
            "Each edge has its reason. Edges that end in `superseded`, `rolled_back` and `skipped` are in the "
            "tables, and no command of this version takes them."
        ),
    ]
    for name, first, edges in machines:
        rows = [(f"`{a}`", f"`{b}`", reason) for a, to in edges.items() for b, reason in to.items()]
        parts += [f"## {name}", _diagram(first, edges), table(("From", "To", "Reason"), rows)]
    parts += [
        "## Kinds of waves",
        table(("Kind", "What it is"), [(f"`{k}`", KINDS[str(k)]) for k in states.WaveKind]),
    ]
    parts += [
        "## Verdicts",
        table(("Verdict", "What it means"), [(f"`{v}`", VERDICTS[str(v)]) for v in states.Verdict]),
    ]
    parts += ["## What a running task does when its wave stops", fenced(_settle())]
    return page("States", *parts)


KINDS = {
    "canary": "the first accounts of a ring; no failure is borne",
    "requalification": "the small subset that a changed bundle must pass first; no failure is borne",
    "expansion": "more accounts of a ring, as the policy's `waves` say",
    "lone": "one account by itself: too large, or the first of its kind; no failure is borne",
    "reserve": "accounts of the first two rings that are held back, and follow last",
}
VERDICTS = {
    "pass": "positive evidence: enough samples, a complete interval, no harm measured",
    "fail": "harm was measured; final for this revision",
    "inconclusive": "anything else, errors of the source included; the rollout does not widen",
}


def _diagram(first: str, edges: Mapping[str, Mapping[str, str]]) -> str:
    lines = ["stateDiagram-v2", f"    [*] --> {first}"]
    for before, targets in edges.items():
        lines += [f"    {before} --> {after}: {_label(reason)}" for after, reason in targets.items()]
        if not targets:
            lines.append(f"    {before} --> [*]")
    return fenced("\n".join(lines), "mermaid")


def _label(reason: str) -> str:
    """A reason as a label: Mermaid ends one at `;` and reads `:` as its own."""
    return reason.replace(";", ",").replace(":", ",")


def _settle() -> str:
    text = (states.Settle.__doc__ or "").split("\n\n")[1]
    return "\n".join(line.strip() for line in text.strip().splitlines())


# -- all of it ------------------------------------------------------------------------------------
PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands_page,
    "exit-codes.md": exit_codes_page,
    "policy.md": lambda: page("Policy", *fields_page(policy_fields.PolicyFields, "policy")),
    "bundle.md": lambda: page("Bundle", *fields_page(bundle_fields.BundleFields, "bundle")),
    "errors.md": errors_page,
    "states.md": states_page,
}


def differences() -> list[str]:
    """What the pages lack or say otherwise, as a diff."""
    found: list[str] = []
    for name, make in PAGES.items():
        path = FOLDER / name
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        found += difflib.unified_diff(
            old.splitlines(), make().splitlines(), f"docs/reference/{name}", "from the code", lineterm=""
        )
    return found


def run(arguments: list[str]) -> int:
    """Write the pages, or with `--check` compare them."""
    os.environ["COLUMNS"] = "100"  # the width of what the program prints
    if arguments == ["--check"]:
        lines = differences()
        print("\n".join(lines) if lines else "docs/reference is what the code says")
        if lines:
            print("docs/reference differs from the code: run scripts/docs", file=sys.stderr)
        return 1 if lines else 0
    if arguments:
        print("usage: scripts/docs [--check]", file=sys.stderr)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")
        print(f"docs/reference/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
