"""All mistakes of one file, collected before anything is refused."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ringctl.core.closest import did_you_mean
from ringctl.core.errors import Finding, InvalidInput
from ringctl.settings.nodes import Node, clipped

UNKNOWN_KEY = "RC3001"
DUPLICATE_KEY = "RC3002"
WRONG_TYPE = "RC3003"
WRONG_UNIT = "RC3004"
NOT_A_NUMBER = "RC3005"
MISSING_KEY = "RC3006"
UNKNOWN_NAME = "RC3007"
EMPTY_RING = "RC3008"
CANNOT_FAIL = "RC3009"
DUPLICATE_NAME = "RC3010"
SYNTAX = "RC3011"
UNREADABLE = "RC3012"
OUTSIDE_BUNDLE = "RC3013"
TOO_LARGE = "RC3014"
PLACEHOLDER = "RC3015"
OUT_OF_RANGE = "RC3016"
CONTRADICTION = "RC3017"
NOT_SUPPORTED = "RC3018"
ALTERED = "RC3019"
SMELL = "RC3020"
UNDECIDABLE = "RC1002"

NOT_YET = "not supported in this version"


class Mistake(ValueError):
    """A value that a parser refuses; the reader adds where it stands."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        known: Iterable[str] = (),
        hint: str = "",
        secret: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.known = tuple(known)
        self.hint = hint
        self.secret = secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The file that is read: its name for people and its lines."""

    path: str
    lines: tuple[str, ...] = ()

    def line(self, number: int) -> str:
        """The text of a line, counted from 1; empty when there is none."""
        return clipped(self.lines[number - 1], 200) if 0 < number <= len(self.lines) else ""


class Report:
    """Collects findings of one source. `finish` raises one InvalidInput with all of them."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.findings: list[Finding] = []
        self._secret_lines: set[int] = set()

    def hide(self, node: Node) -> None:
        """Never repeat the lines of this value: it may be a secret, and findings end up in CI logs."""
        self._secret_lines.add(node.line)
        for entry in node.entries.values():
            self._secret_lines.add(entry.node.line)

    def _line(self, node: Node) -> str:
        return "" if node.line in self._secret_lines else self.source.line(node.line)

    def add(
        self, code: str, node: Node | None, message: str, *, known: Iterable[str] = (), hint: str = ""
    ) -> None:
        """Note a mistake at a node (None: about the whole file)."""
        self.findings.append(
            Finding(
                code=code,
                message=message,
                path=self.source.path,
                line=node.line if node else 0,
                column=node.column if node else 0,
                text=node.text if node else "",
                source_line=self._line(node) if node else "",
                known=tuple(known),
                hint=hint,
            )
        )

    def unknown(self, code: str, node: Node, message: str, known: Iterable[str]) -> None:
        """Note a name that is not known, with the names that are and the nearest of them."""
        names = sorted(known)
        self.add(code, node, message, known=names, hint=did_you_mean(node.text, names))

    def mistake(self, node: Node, error: Mistake, where: str) -> None:
        """Note a value that a parser refused."""
        text = f"{where}: {error.message}" if where else error.message
        if error.secret:
            self.hide(node)
            node = replace(node, text="")
        self.add(error.code, node, text, known=error.known, hint=error.hint)

    def foreign(self, node: Node, findings: Iterable[Finding]) -> None:
        """Note findings of somebody else's check, placed at the node where they have no place."""
        for one in findings:
            placed = one
            if not one.line:
                placed = replace(
                    one,
                    path=one.path or self.source.path,
                    line=node.line,
                    column=node.column,
                    text=one.text or node.text,
                    source_line=self._line(node),
                )
            self.findings.append(placed)

    def finish(self) -> tuple[Finding, ...]:
        """Raise InvalidInput when there is an error; else hand back the warnings."""
        errors = [one for one in self.findings if one.severity == "error"]
        if errors:
            places = sorted(self.findings, key=lambda one: (one.path, one.line, one.column))
            raise InvalidInput(tuple(dict.fromkeys(places)), message=headline(errors))
        return tuple(self.findings)


def headline(errors: list[Finding]) -> str:
    """The one line that stands for all findings."""
    first = min(errors, key=lambda one: (one.path, one.line, one.column))
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    place = f"{first.position}: " if first.position else ""
    return f"{place}{first.message}{more}"
