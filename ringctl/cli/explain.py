"""`ringctl explain`: a page for every error code, offline."""

from pathlib import Path
from typing import Annotated

import typer

from ringctl.cli.names import unknown
from ringctl.cli.render import Block, Grid, Line, View, columns, emit
from ringctl.core.errors import NotFound, UsageError

PAGES = Path(__file__).parent / "errors"
GROUPS = {
    "0": "ringctl itself", "1": "gates", "2": "rollouts, plans and requalification",
    "3": "policy and bundle", "4": "permissions", "5": "store and nodes", "6": "executors",
    "7": "inventory", "8": "metrics",
}  # fmt: skip


def titles() -> dict[str, str]:
    """Code -> title of every page."""
    found = {}
    for path in sorted(PAGES.glob("RC*.md")):
        with path.open(encoding="utf-8") as page:
            found[path.stem] = page.readline().removeprefix("# ").strip().removeprefix(f"{path.stem}: ")
    return found


def sections(text: str) -> dict[str, str]:
    """Heading -> text of a page."""
    found: dict[str, str] = {}
    for part in text.split("\n## ")[1:]:
        heading, _, body = part.partition("\n")
        found[heading.strip()] = body.strip("\n")
    return found


def explain(
    code: Annotated[str, typer.Argument(metavar="[CODE]", help="An error code, such as RC3001.")] = "",
) -> None:
    """Print what an error code means: the cause, what ringctl did, what to do, an example.

    Without CODE: all codes.
    """
    known = titles()
    if not code:
        emit(_listing(known))
        return
    wanted = code.upper().strip()
    if wanted.isdigit():
        wanted = f"RC{wanted}"
    if wanted not in known:
        if not wanted.startswith("RC"):
            raise UsageError(unknown("code", code, known), hint="ringctl explain lists all codes")
        raise NotFound(unknown("code", wanted, known), hint="ringctl explain lists all codes")
    text = (PAGES / f"{wanted}.md").read_text(encoding="utf-8")
    emit(_page(wanted, known[wanted], text))


def _page(code: str, title: str, text: str) -> View:
    def blocks() -> list[Block]:
        made: list[Block] = [Line(text=f"{code}: {title}", style="bold")]
        for heading, body in sections(text).items():
            made += ["", Line(text=heading, style="bold")]
            made += [f"  {line}".rstrip() for line in body.split("\n") if not line.startswith("```")]
        return made

    return View(
        document=lambda: {
            "schema": "ringctl/explain/v1", "code": code, "title": title, "sections": sections(text),
        },
        blocks=blocks,
    )  # fmt: skip


def _listing(known: dict[str, str]) -> View:
    def blocks() -> list[Block]:
        made: list[Block] = []
        for digit, about in GROUPS.items():
            rows = [(code, title) for code, title in known.items() if code[2] == digit]
            if rows:
                made += (
                    ["", Line(text=f"RC{digit}xxx {about}", style="bold")]
                    if made
                    else [Line(text=f"RC{digit}xxx {about}", style="bold")]
                )
                made.append(Grid(columns=columns("CODE", "MEANING"), rows=rows))
        return [*made, "", "One page: ringctl explain CODE"]

    return View(
        document=lambda: {
            "schema": "ringctl/codes/v1",
            "codes": [{"code": code, "title": title} for code, title in known.items()],
        },
        blocks=blocks,
    )


COMMANDS = {"explain": explain}
