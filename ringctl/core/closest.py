"""The name that a mistyped name most likely stands for."""

from collections.abc import Iterable


def closest(name: str, known: Iterable[str]) -> str:
    """The known name nearest to `name`, or the empty string when none is near."""
    import difflib  # noqa: PLC0415 - only where something is mistyped

    folded = {one.lower(): one for one in known}
    found = difflib.get_close_matches(name[:100].lower(), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for people, or the empty string."""
    near = closest(name, known)
    return f"did you mean `{near}`?" if near else ""
