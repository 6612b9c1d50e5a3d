"""Every command with its options, as plain words: for completion and for telling options from values.

A test holds this against what typer is told, so it cannot drift.
"""

OPTIONS: dict[str, str] = {
    "demo": "--accounts= --dir= --engine= --fault= --metrics= --nodes=",
    "explain": "",
    "policy lint": "",
    "policy schema": "",
    "policy show": "",
    "bundle lint": "",
    "bundle schema": "",
    "bundle digest": "",
    "bundle diff": "",
    "accounts ls": "--policy= --ring= --limit=",
    "accounts coverage": "--policy=",
    "plan": "--policy= --bundle= --release= --out= --fix --exit-code",
    "start": "--policy= --bundle= --release= --plan= --fix --reason= --detach-source --wait --detach --until= "
    "--timeout= --workers= --stop-file= --dry-run",
    "status": "--accounts",
    "wait": "--until= --timeout=",
    "why": "",
    "pause": "--reason= --dry-run",
    "resume": "--reason= --dry-run",
    "abort": "--reason= --now --dry-run",
    "retry": "--account= --failed --as= --reason= --dry-run",
    "amend": "--bundle= --author= --reason= --watcher= --detach-source --dry-run",
    "gate show": "--limit= --look=",
    "gate plan": "--policy= --bundle= --rate= --rates= --phi= --watch= --offline",
    "gate check": "--policy= --canary= --control= --gate= --timeout= --every= --since=",
    "gate backtest": "--policy= --series= --baseline= --gate= --ring= --every= --from= --to= --since= --canary= "
    "--control= --record=",
    "events": "--after= --follow -f",
    "exposure": "--revision= --limit=",
    "audit verify": "",
    "tick": "--rollout= --budget= --workers= --stop-file=",
    "run": "--rollout= --workers= --stop-file=",
    "work": "--rollout= --workers= --exit-when-idle --stop-file=",
    "nodes ls": "",
    "nodes drain": "--wait",
    "db migrate": "--dry-run",
    "db check": "",
    "db stats": "",
    "db backup": "--force",
    "doctor": "--contend= --seconds= --tasks= --seed=",
}
"""Command -> its own options; `=` marks those that take a value."""

FILES: dict[str, str] = {
    "--policy": "file", "--bundle": "directory", "--out": "file", "--plan": "file", "--dir": "directory",
    "--stop-file": "file", "--series": "file", "--baseline": "file", "--record": "file",
    "--rates": "file",
}  # fmt: skip
"""Options whose value is a path."""

PATHS: dict[str, str] = {
    "policy lint": "file", "policy show": "file",
    "bundle lint": "directory", "bundle digest": "directory", "bundle diff": "directory", "db backup": "file",
}  # fmt: skip
"""Commands whose arguments are paths."""

CHOICES: dict[str, tuple[str, ...]] = {
    "--output": ("table", "json", "yaml", "ndjson", "markdown", "junit"),
    "-o": ("table", "json", "yaml", "ndjson", "markdown", "junit"),
    "--color": ("auto", "always", "never"),
    "--engine": ("sqlite", "postgresql"),
    "--fault": ("window", "errors", "none"),
    "--metrics": ("auto", "scrape", "prometheus"),
    "--as": ("done", "not-done"),
}
"""Options whose value is one of a closed set."""

ARGUMENTS: dict[str, tuple[str, ...]] = {"completion": ("bash", "zsh", "fish")}
"""Commands whose argument is one of a closed set."""

ROLLOUT: tuple[str, ...] = (
    "status", "wait", "why", "pause", "resume", "abort", "retry", "amend", "gate show", "events", "exposure",
    "audit verify",
)  # fmt: skip
"""Commands whose argument is a rollout."""

JUNIT = ("policy lint", "bundle lint", "status", "wait")
"""Commands whose answer has a JUnit form; the others refuse `-o junit` before they do anything."""

GLOBALS = "--state= --output= --actor= --color= --quiet --verbose --yes --no-input --help --version"


def options_of(command: str) -> dict[str, bool]:
    """Option -> whether it takes a value."""
    words = OPTIONS.get(command, "").split()
    return {word.removesuffix("="): word.endswith("=") for word in words}


def subcommands(name: str) -> tuple[str, ...]:
    """The subcommands of a group; empty for a command of its own."""
    return tuple(key.split(" ", 1)[1] for key in OPTIONS if key.startswith(f"{name} "))


def valued_options(name: str) -> frozenset[str]:
    """The options of a command, or of a group's subcommands, that take a value."""
    keys = [name, *(f"{name} {sub}" for sub in subcommands(name))]
    return frozenset(option for key in keys for option, valued in options_of(key).items() if valued)
