"""From a bundle's directory to `ringctl.core.bundle.Bundle`, or to the full list of what is wrong with it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ringctl.core.bundle import Bundle, Live, StepSpec, step_digest
from ringctl.core.digests import canonical, digest
from ringctl.core.errors import Finding, InvalidInput
from ringctl.core.timing import HOUR, MILLISECOND, Span
from ringctl.settings import units
from ringctl.settings.actions import CheckStep, Workshop
from ringctl.settings.bundle_fields import (
    BUILT_IN,
    BudgetFields,
    BundleFields,
    BundleMetadata,
    LiveFields,
)
from ringctl.settings.bundle_files import MANIFEST, BundleFiles, read_files
from ringctl.settings.keys import Keys
from ringctl.settings.nodes import Node
from ringctl.settings.report import (
    ALTERED,
    DUPLICATE_NAME,
    MISSING_KEY,
    UNKNOWN_NAME,
)
from ringctl.settings.smells import bundle_smells
from ringctl.settings.steps import CLOSE, read_bundle_close, read_step
from ringctl.settings.values import Misfit, from_plain, to_plain
from ringctl.settings.yaml12 import parse

API_VERSION = "ringctl/v1"

_version = units.matching(r"[^\s{}]{1,100}", "a version (no blanks, no braces)")
_window = units.within(units.duration, 100 * MILLISECOND, HOUR, "100ms to 1h")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedBundle:
    """A bundle, the bytes of its files by bundle path, and what deserves a second look."""

    bundle: Bundle
    contents: Mapping[str, bytes]
    warnings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a bundle says, less its digest; `Bundle.document` is this as plain JSON."""

    name: str
    version: str
    component: str
    author: str = ""
    steps: tuple[StepSpec, ...]
    files: Mapping[str, str]
    live: Live = field(default_factory=Live)
    close_window: StepSpec | None = None
    window_us: Span | None = None
    reapply: str = "never"
    from_step: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()


def load_bundle(directory: Path, executors: Mapping[str, CheckStep | None] | None = None) -> LoadedBundle:
    """The bundle in a directory. Raises InvalidInput with every mistake.

    `executors` are the known executors and their checks of a step; default: the built-in names.
    """
    content, files = read_files(directory)
    node, report = parse(content, str(directory / MANIFEST))
    known = dict.fromkeys(BUILT_IN) if executors is None else executors
    shop = Workshop(files=files, report=report, executors=known)
    manifest = _read(node, shop)
    report.finish()
    bundle = _bundle(to_plain(manifest))
    bundle_smells(bundle, report)
    return LoadedBundle(bundle=bundle, contents=files.contents, warnings=report.finish())


def manifest_text(bundle: Bundle) -> str:
    """The bundle as the text that the store keeps; `bundle_from_manifest` reads it back."""
    return canonical(bundle.document)


def bundle_from_manifest(text: str) -> Bundle:
    """The bundle again from its stored text. Raises InvalidInput when it is none, or was altered."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _altered(f"the manifest is not JSON: {error}") from None
    return _bundle(document)


def _altered(message: str) -> InvalidInput:
    return InvalidInput([Finding(code=ALTERED, message=message)])


def _bundle(document: object) -> Bundle:
    try:
        manifest = from_plain(Manifest, document)
        for step in _all_steps(manifest):
            if step.digest != step_digest(step, manifest.files):
                raise _altered(f"step `{step.id}` is not what its digest says")
        pinned = digest(_acting(manifest))
    except (ValueError, KeyError, RecursionError) as error:
        kind = "a stored manifest" if isinstance(error, Misfit) else "whole"
        raise _altered(f"the document is not {kind}: {error}") from None
    assert isinstance(document, dict)
    return Bundle(
        name=manifest.name,
        version=manifest.version,
        component=manifest.component,
        author=manifest.author,
        steps=manifest.steps,
        files=manifest.files,
        live=manifest.live,
        close_window=manifest.close_window,
        window_us=manifest.window_us,
        reapply=manifest.reapply,
        from_step=manifest.from_step,
        flags=manifest.flags,
        document=document,
        digest=pinned,
    )


def _acting(manifest: Manifest) -> Mapping[str, object]:
    """Everything that acts on an account. Author, positions and files that nothing reads do not.

    A step's own digest covers its options, limits and file bytes.
    """
    close = manifest.close_window
    return {
        "name": manifest.name,
        "version": manifest.version,
        "component": manifest.component,
        "steps": [step.digest for step in manifest.steps],
        "live": to_plain(manifest.live),
        "close_window": close.digest if close else None,
        "window_us": manifest.window_us,
        "reapply": manifest.reapply,
        "from_step": to_plain(manifest.from_step),
        "flags": list(manifest.flags),
    }


def _all_steps(manifest: Manifest) -> tuple[StepSpec, ...]:
    close = manifest.close_window
    return (*manifest.steps, close) if close else manifest.steps


def _read(node: Node, shop: Workshop) -> Manifest:
    keys = Keys(node, BundleFields, shop.report, "")
    keys.constant("apiVersion", API_VERSION)
    keys.constant("kind", "Bundle")
    metadata = keys.below("metadata", BundleMetadata)
    nodes = keys.items("steps")
    steps = tuple(read_step(one, f"steps[{place}]", shop) for place, one in enumerate(nodes))
    close = read_bundle_close(keys, shop, steps)
    _check_ids(keys, steps, nodes)
    finished, finished_close = _with_files(steps, close, shop.files)
    _check_foreign((*finished, *([finished_close] if finished_close else [])), nodes, keys, shop)
    return Manifest(
        name=metadata.read("name", units.name, ""),
        version=metadata.read("version", _version, ""),
        component=metadata.read("component", units.name, ""),
        author=metadata.read("author", units.text, ""),
        steps=finished,
        files=shop.files.digests,
        live=_live(keys, steps),
        close_window=finished_close,
        window_us=keys.below("budget", BudgetFields).read("window", _window, None),
        reapply=_reapply(keys),
        from_step=_from_step(keys, steps),
    )


def _reapply(keys: Keys) -> str:
    node = keys.get("reapply")
    if node is not None and node.value in ("always", "changed"):
        keys.refuse("reapply", node)
        return "never"
    return keys.read("reapply", units.one_of("never"), "never")


def _check_ids(keys: Keys, steps: tuple[StepSpec, ...], nodes: tuple[Node, ...]) -> None:
    if not steps and keys.sound("steps"):
        keys.report.add(MISSING_KEY, keys.place("steps"), "`steps` is empty: nothing would be done")
    seen: dict[str, int] = {CLOSE: 0}
    for step, node in zip(steps, nodes, strict=True):
        if step.id in seen:
            first = seen[step.id]
            where = f"the first in line {first}" if first else "and that name is taken"
            message = f"two steps are called `{step.id}`, {where}"
            keys.report.add(DUPLICATE_NAME, node.entries["id"].node, message)
        elif step.id:
            seen[step.id] = node.line


def _with_files(
    steps: tuple[StepSpec, ...], close: StepSpec | None, files: BundleFiles
) -> tuple[tuple[StepSpec, ...], StepSpec | None]:
    """Steps with their files and digests. A command may read any file that no step names, so it gets them all."""
    everything = (*steps, *([close] if close else []))
    named = {path for step in everything for path in step.files}
    loose = set(files.contents) - named

    def whole(step: StepSpec) -> StepSpec:
        commands = step.executor not in {"sql", "batched_sql", "http", "noop"} or any(
            side is not None and "command" in side for side in (step.probe, step.undo)
        )
        paths = tuple(sorted(loose.union(step.files))) if commands else step.files
        known = replace(step, files=tuple(path for path in paths if path in files.digests))
        return replace(known, digest=step_digest(known, files.digests))

    return tuple(whole(step) for step in steps), whole(close) if close else None


def _check_foreign(steps: tuple[StepSpec, ...], nodes: tuple[Node, ...], keys: Keys, shop: Workshop) -> None:
    """What the executors themselves say to their steps; only asked when the step reads well so far."""
    if any(finding.severity == "error" for finding in shop.report.findings):
        return
    places = (*nodes, keys.place(CLOSE))
    for step, place in zip(steps, places, strict=False):
        check = shop.executors.get(step.executor)
        if check is not None:
            shop.report.foreign(place, check(step))


def _live(keys: Keys, steps: tuple[StepSpec, ...]) -> Live:
    live = keys.below("live", LiveFields)
    return Live(
        old_until=_step_name(live, "old_until", steps),
        new_from=_step_name(live, "new_from", steps),
    )


def _step_name(keys: Keys, key: str, steps: tuple[StepSpec, ...]) -> str:
    name = keys.read(key, units.text, "")
    _check_step(keys, keys.place(key), name, steps)
    return name


def _check_step(keys: Keys, node: Node, name: str, steps: tuple[StepSpec, ...]) -> None:
    known = [step.id for step in steps if step.id]
    if name and name not in known:
        keys.report.unknown(UNKNOWN_NAME, node, f"there is no step `{name}`", known)


def _from_step(keys: Keys, steps: tuple[StepSpec, ...]) -> dict[str, str]:
    """Old step -> step to go on with. The left side may be of an older revision."""
    found: dict[str, str] = {}
    for old, entry in keys.mapping("from_step"):
        keys.parse("from_step", entry.key, units.name, "")
        found[old] = keys.parse("from_step", entry.node, units.text, "")
        _check_step(keys, entry.node, found[old], steps)
    return found
