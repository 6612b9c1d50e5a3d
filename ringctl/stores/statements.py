"""Named SQL statements. All SQL stands in `.sql` files, so that it can be read, explained and tested as it is.

A file holds statements that each begin with a line `-- name: claim_tasks`. Parameters are written `:name`
and columns are never given by position. A store engine may lay files of its own over the shared ones.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ringctl.core.errors import BugError

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


def sql_folder() -> Path:
    """The folder of the shared statements; engines have folders of their own in it."""
    return Path(__file__).parent / "sql"  # importlib.resources would cost a third of a start


def parse(text: str, source: str = "") -> dict[str, str]:
    """Name -> statement of one file. Text before the first name is a comment about the file."""
    parts = _NAME.split(text)
    found: dict[str, str] = {}
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        if name in found:
            raise BugError(f"{source}: statement {name} stands there twice")
        found[name] = body.strip().rstrip(";")
    return found


class Statements:
    """The statements of one store. `override` swaps one for a test's seeded bug and puts it back."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = dict(texts)

    @classmethod
    def load(cls, engine: str) -> "Statements":
        """The shared statements (`*.sql`) with the engine's own (`ENGINE/*.sql`, migrations apart) over them."""
        shared: dict[str, str] = {}
        for file in sorted(sql_folder().iterdir(), key=lambda entry: entry.name):
            if file.name.endswith(".sql"):
                new = parse(file.read_text(encoding="utf-8"), file.name)
                twice = sorted(new.keys() & shared.keys())
                if twice:
                    raise BugError(f"{file.name}: {', '.join(twice)}: named in another file too")
                shared |= new
        for own in sorted((sql_folder() / engine).glob("[a-z]*.sql")):
            shared |= parse(own.read_text(encoding="utf-8"), own.name)
        return cls(shared)

    def __getitem__(self, name: str) -> str:
        try:
            return self._texts[name]
        except KeyError:
            raise BugError(f"no statement is named {name}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    @contextmanager
    def override(self, **texts: str) -> Iterator[None]:
        """Within the block the named statements read otherwise. For tests that show that a guard is needed."""
        before = {name: self[name] for name in texts}
        self._texts.update(texts)
        try:
            yield
        finally:
            self._texts.update(before)
