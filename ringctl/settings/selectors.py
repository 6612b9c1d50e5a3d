"""Selectors: conditions on columns as data, never expressions."""

from ringctl.core.fleet import Scalar, Selector, Term
from ringctl.settings.nodes import Node, clipped
from ringctl.settings.report import EMPTY_RING, OUT_OF_RANGE, UNKNOWN_KEY, WRONG_TYPE, Report

BOUNDS = ("gt", "gte", "lt", "lte")
OPERATORS = ("gt", "gte", "in", "lt", "lte", "not")


def read_selector(node: Node, report: Report, where: str) -> Selector:
    """The selector of a mapping from column to value, `{in: []}`, `{not: }` or bounds; terms are sorted."""
    if not node.is_mapping:
        message = f"`{where}` must be a mapping from column to value, here is {node.kind}"
        report.add(WRONG_TYPE, node, message, hint="such as {ring: 0}")
        return Selector()
    terms: list[Term] = []
    for column, entry in node.entries.items():
        if not column.strip():
            report.add(OUT_OF_RANGE, entry.key, f"`{where}` names a column without a name")
        terms.extend(_terms(column, entry.node, report, f"{where}.{clipped(column)}"))
    return Selector(terms=tuple(sorted(terms, key=repr)))


def _terms(column: str, node: Node, report: Report, where: str) -> list[Term]:
    if node.is_list:
        hint = f"{clipped(column)}: {{in: [...]}}"
        report.add(WRONG_TYPE, node, f"`{where}` must be one value or a mapping", hint=hint)
        return []
    if not node.is_mapping:
        operand = _operand(node, report, where)
        return [] if operand is None else [Term(column=column, op="eq", operand=operand)]
    if not node.entries:
        report.add(EMPTY_RING, node, f"`{where}` says nothing", known=OPERATORS)
    found: list[Term] = []
    for op, entry in node.entries.items():
        path = f"{where}.{clipped(op)}"
        if op not in OPERATORS:
            report.unknown(UNKNOWN_KEY, entry.key, f"unknown condition `{path}`", OPERATORS)
        elif op in BOUNDS:
            bound = _operand(entry.node, report, path)
            if isinstance(bound, bool | str):
                report.add(WRONG_TYPE, entry.node, f"`{path}` must be a number")
            elif bound is not None:
                found.append(Term(column=column, op=op, operand=bound))
        else:
            found.extend(_members(column, op, entry.node, report, path))
    return found


def _members(column: str, op: str, node: Node, report: Report, where: str) -> list[Term]:
    """`in` and `not` over a list; `not` also over one value."""
    inner = node
    if op == "not" and node.is_mapping and list(node.entries) == ["in"]:
        inner = node.entries["in"].node
    if op == "not" and not inner.is_list and not inner.is_mapping:
        operand = _operand(inner, report, where)
        return [] if operand is None else [Term(column=column, op=op, operand=operand)]
    if not inner.is_list:
        report.add(WRONG_TYPE, inner, f"`{where}` must be a list, here is {inner.kind}")
        return []
    if not inner.items:
        report.add(EMPTY_RING, inner, f"`{where}` is an empty list")
        return []
    operands = [_operand(item, report, where) for item in inner.items]
    kept = tuple(one for one in operands if one is not None)
    return [Term(column=column, op=op, operand=kept)]


def _operand(node: Node, report: Report, where: str) -> Scalar | None:
    if node.value is None or node.is_list or node.is_mapping:
        hint = 'an empty cell is ""' if node.value is None else ""
        report.add(WRONG_TYPE, node, f"`{where}` must be one value, here is {node.kind}", hint=hint)
        return None
    return node.scalar
