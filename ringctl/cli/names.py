"""What is said about a name that nothing is known by."""

from collections.abc import Mapping

from ringctl.cli.style import show


def unknown(what: str, name: str, known: Mapping[str, object]) -> str:
    """One sentence on a name that nothing is known by."""
    from ringctl.core.closest import did_you_mean

    longer = [one for one in known if name and one.startswith(name)]
    guess = f"did you mean `{longer[0]}`?" if len(longer) == 1 else did_you_mean(name, known)
    return f"unknown {what} `{show(name, 60)}`" + (f"; {guess}" if guess else "")
