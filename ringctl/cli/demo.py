"""`ringctl demo`: the whole story, told in the terminal."""

import sys
from typing import Annotated

import typer

from ringctl.cli.invocation import DEFAULT_STATE, current
from ringctl.cli.render import View, emit
from ringctl.cli.style import show
from ringctl.core.errors import UsageError

ENGINES = ("sqlite", "postgresql")
FAULTS = ("window", "errors", "none")
METRICS = ("auto", "scrape", "prometheus")


def demo(
    accounts: Annotated[int, typer.Option(help="How many accounts (at least 14).")] = 60,
    directory: Annotated[str, typer.Option("--dir", metavar="D", help="A new directory; it stays.")] = "",
    engine: Annotated[str, typer.Option(help="The accounts' databases: sqlite or postgresql.")] = "sqlite",
    fault: Annotated[
        str, typer.Option(help="What is wrong with the release: window, errors or none.")
    ] = "window",
    metrics: Annotated[str, typer.Option(help="auto, scrape or prometheus.")] = "auto",
    nodes: Annotated[
        int, typer.Option(min=0, max=16, help="Processes that do the work; 0: this one does it.")
    ] = 0,
) -> int:
    """A bad upgrade over real databases: stopped in the canary, amended, requalified, finished.

    The story is the VSTS outage of 29 September 2017, in two minutes. Exit 0 if every promise held.
    """
    from ringctl.demo.story import Options, run

    for name, value, known in (
        ("engine", engine, ENGINES),
        ("fault", fault, FAULTS),
        ("metrics", metrics, METRICS),
    ):
        if value not in known:
            raise UsageError(f"--{name} {value}: known are {', '.join(known)}")
    if accounts < 14:
        raise UsageError(f"--accounts {accounts}: three rings with their reserves need at least 14")
    state = "" if current().state == DEFAULT_STATE else current().state
    options = Options(accounts=accounts, directory=directory, engine=engine, fault=fault, metrics=metrics,
                      state=state, nodes=nodes)  # fmt: skip
    outcome = run(options, _say)
    document = {
        "schema": "ringctl/demo/v1",
        "directory": str(outcome.directory),
        "rollout": outcome.rollout,
        "state": outcome.state,
        "seconds": round(outcome.seconds, 1),
        "exposed": list(outcome.exposed),
        "exposed_account_minutes": round(outcome.minutes, 2),
        "failures": list(outcome.failures),
    }
    if current().output != "table":
        emit(View(document=lambda: document, blocks=list))
    return 1 if outcome.failures else 0


def _say(text: str) -> None:
    """The story goes to standard output; with `-o json` it moves aside."""
    stream = sys.stdout if current().output == "table" else sys.stderr
    stream.write("\n".join(show(line, 2000) for line in text.split("\n")) + "\n")
    stream.flush()


COMMANDS = {"demo": demo}
