"""How far a changed bundle differs from the one before: per step what differs, and the change class
(DESIGN 12.3). In doubt the higher class: the class decides who must look, never whether it requalifies."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ringctl.core.bundle import Bundle, StepSpec
from ringctl.core.sqlwords import rewrites_stored_rows, tokens

CLASSES: Final = ("none", "cosmetic", "probe", "timing", "code", "data-shape")
"""In rising order."""

_TIMING_OPTIONS: Final = frozenset({"batch"})
_SQL: Final = frozenset({"sql", "batched_sql"})
_CLOSER: Final = "close_window"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepChange:
    """One step of either bundle. `kind`: same | changed | added | removed | moved."""

    step: str
    kind: str
    parts: tuple[str, ...] = ()
    change: str = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleChange:
    """Everything that differs; `change` is the highest class, `parts` what belongs to no step."""

    steps: tuple[StepChange, ...]
    parts: tuple[str, ...]
    change: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    bundle: Bundle
    contents: Mapping[str, bytes]

    def text(self, path: str) -> str | None:
        try:
            return self.contents[path].decode()
        except (KeyError, UnicodeDecodeError):
            return None


def highest(classes: Iterable[str]) -> str:
    """The highest of these classes; `none` of none."""
    return max(classes, key=CLASSES.index, default="none")


def change_class(
    old: Bundle, new: Bundle, old_contents: Mapping[str, bytes], new_contents: Mapping[str, bytes]
) -> str:
    """The class of the change between two bundles."""
    return compare(old, new, old_contents, new_contents).change


def compare(
    old: Bundle, new: Bundle, old_contents: Mapping[str, bytes], new_contents: Mapping[str, bytes]
) -> BundleChange:
    """What differs between two bundles. `contents` map bundle paths to bytes."""
    if old.digest == new.digest:
        same = tuple(StepChange(step=spec.id, kind="same") for spec in new.steps)
        return BundleChange(steps=same, parts=(), change="none")
    before = _Side(bundle=old, contents=old_contents)
    after = _Side(bundle=new, contents=new_contents)
    steps = tuple(_steps(before, after))
    parts = dict(_bundle_parts(before, after))
    found = [one.change for one in steps] + list(parts.values())
    # digests differ, so something acts differently: never less than cosmetic
    return BundleChange(steps=steps, parts=tuple(parts), change=highest([*found, "cosmetic"]))


def _steps(before: _Side, after: _Side) -> Iterable[StepChange]:
    was = {spec.id: spec for spec in before.bundle.steps}
    now = {spec.id: spec for spec in after.bundle.steps}
    stayed = [name for name in was if name in now]
    moved = _moved(stayed, [name for name in now if name in was])
    for name, spec in now.items():
        if name not in was:
            yield StepChange(step=name, kind="added", parts=("step",), change=_whole(spec, after))
            continue
        parts = _step_parts(was[name], spec, before, after)
        if name in moved:
            parts["order"] = "data-shape"
        kind = "moved" if name in moved else "changed" if parts else "same"
        yield StepChange(step=name, kind=kind, parts=tuple(parts), change=highest(parts.values()))
    for name, spec in was.items():
        if name not in now:
            yield StepChange(step=name, kind="removed", parts=("step",), change=_whole(spec, before))


def _moved(old_order: Sequence[str], new_order: Sequence[str]) -> frozenset[str]:
    return frozenset(new for old, new in zip(old_order, new_order, strict=True) if old != new)


def _whole(spec: StepSpec, side: _Side) -> str:
    """The class of a step that appears or goes: what it does is what changes."""
    if spec.executor not in _SQL:
        return "data-shape"
    texts = [side.text(path) for path in spec.files if path not in _named(spec.probe)]
    return "code" if texts and all(_only_reads(text) for text in texts) else "data-shape"


def _step_parts(old: StepSpec, new: StepSpec, before: _Side, after: _Side) -> dict[str, str]:
    """Part -> class of what differs in one step."""
    parts: dict[str, str] = {}
    if old.executor != new.executor:
        parts["executor"] = "data-shape"
    if old.timeout_us != new.timeout_us:
        parts["timeout"] = "timing"
    for part, was, now in (
        ("idempotent", old.idempotent, new.idempotent),
        ("forward_only", old.forward_only, new.forward_only),
        ("scope", old.scope, new.scope),
    ):
        if was != now:
            parts[part] = "code"
    for key in sorted({*old.options, *new.options}):
        if old.options.get(key) != new.options.get(key):
            parts[key] = "timing" if key in _TIMING_OPTIONS else "data-shape"
    if old.probe != new.probe:
        parts["probe"] = "probe"
    if old.undo != new.undo:
        parts["undo"] = "data-shape"
    parts.update(_file_parts(old, new, before, after))
    return parts


def _file_parts(old: StepSpec, new: StepSpec, before: _Side, after: _Side) -> dict[str, str]:
    parts: dict[str, str] = {}
    probes = _named(old.probe) & _named(new.probe)
    for path in sorted({*old.files, *new.files}):
        was, now = before.bundle.files.get(path), after.bundle.files.get(path)
        if was == now and (path in old.files) == (path in new.files):
            continue
        if path in probes:
            parts[path] = "probe"
        elif new.executor in _SQL and path in old.files and path in new.files:
            parts[path] = _sql_class(before.text(path), after.text(path))
        else:
            parts[path] = "data-shape"
    return parts


def _named(part: Mapping[str, object] | None) -> frozenset[str]:
    """The texts that a probe names, paths among them; `./x` is the bundle path `x`."""
    found: set[str] = set()
    for value in (part or {}).values():
        words = value if isinstance(value, list | tuple) else [value]
        found |= {word.removeprefix("./") for word in words if isinstance(word, str)}
    return frozenset(found)


def _sql_class(old: str | None, new: str | None) -> str:
    if old is None or new is None:
        return "data-shape"
    was, now = tokens(old), tokens(new)
    if was is None or now is None:
        return "data-shape"
    if was == now:
        return "cosmetic"
    return "code" if _only_reads(old) and _only_reads(new) else "data-shape"


def _only_reads(text: str | None) -> bool:
    return text is not None and not rewrites_stored_rows(text)


def _bundle_parts(before: _Side, after: _Side) -> Iterable[tuple[str, str]]:
    """(part, class) of what differs beside the steps."""
    old, new = before.bundle, after.bundle
    for part, was, now, change in (
        ("metadata", (old.name, old.version, old.author), (new.name, new.version, new.author), "cosmetic"),
        ("component", old.component, new.component, "data-shape"),
        ("budget", old.window_us, new.window_us, "timing"),
        ("live", old.live, new.live, "code"),
        ("reapply", old.reapply, new.reapply, "code"),
        ("from_step", dict(old.from_step), dict(new.from_step), "code"),
        ("flags", old.flags, new.flags, "code"),
    ):
        if was != now:
            yield part, change
    closers = (old.close_window, new.close_window)
    if closers[0] is not None and closers[1] is not None:
        for part, change in _step_parts(closers[0], closers[1], before, after).items():
            yield f"{_CLOSER}.{part}", change
    elif closers != (None, None):
        yield _CLOSER, "data-shape"
    yield from _loose_files(old, new)


def _loose_files(old: Bundle, new: Bundle) -> Iterable[tuple[str, str]]:
    """Files that no step lists: a command may still read them, SQL cannot."""
    listed = {path for bundle in (old, new) for spec in bundle.steps for path in spec.files}
    listed |= {path for bundle in (old, new) if bundle.close_window for path in bundle.close_window.files}
    runs_commands = any(spec.executor not in _SQL for bundle in (old, new) for spec in bundle.steps)
    for path in sorted({*old.files, *new.files} - listed - {"bundle.yaml"}):
        if old.files.get(path) != new.files.get(path):
            yield path, "data-shape" if runs_commands else "cosmetic"
