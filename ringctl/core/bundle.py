"""The bundle as values: ordered steps and every byte that acts. Built by `ringctl.settings.bundle`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ringctl.core.digests import digest
from ringctl.core.timing import SECOND, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpec:
    """One step: the executor that runs it, and that executor's options as plain JSON values.

    `options` is the executor's part of the manifest (for `sql`: `{"file": "01.sql", "database": "..."}`);
    `files` are the bundle paths that the step may read. `digest` covers options, limits and file bytes.
    """

    id: str
    executor: str
    options: Mapping[str, object]
    files: tuple[str, ...] = ()
    timeout_us: Span = 60 * SECOND
    idempotent: bool = False
    forward_only: bool = False
    scope: str = "account"
    probe: Mapping[str, object] | None = None
    undo: Mapping[str, object] | None = None
    digest: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """Which application versions serve at which stop: the old one up to the end of `old_until`, the
    new one from the end of `new_from` on (step ids; empty = not declared)."""

    old_until: str = ""
    new_from: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A pinned bundle. `files` maps bundle paths to SHA-256 hex digests of their bytes."""

    name: str
    version: str
    component: str
    author: str
    steps: tuple[StepSpec, ...]
    files: Mapping[str, str]
    live: Live = Live()
    close_window: StepSpec | None = None
    window_us: Span | None = None
    reapply: str = "never"
    from_step: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    document: Mapping[str, object]
    digest: str

    def step(self, step_id: str) -> StepSpec:
        """The step of that id; KeyError when there is none."""
        for spec in self.steps:
            if spec.id == step_id:
                return spec
        raise KeyError(step_id)

    def index(self, step_id: str) -> int:
        """Position of the step of that id; KeyError when there is none."""
        for position, spec in enumerate(self.steps):
            if spec.id == step_id:
                return position
        raise KeyError(step_id)

    def red_after(self, done: int) -> bool:
        """Whether stopping after `done` finished steps is inside a red stretch (DESIGN 12.9).

        Without evidence the stretch runs from the end of `live.new_from` (no `live`: of the first
        step) to the end of the last step. Nothing is red before the first step or after the last.
        """
        return 0 < done < len(self.steps) and done > self._opener

    def red_inside(self, position: int) -> bool:
        """Whether stopping in the middle of the step at `position` is inside a red stretch."""
        return position >= self._opener

    @property
    def _opener(self) -> int:
        return self.index(self.live.new_from) if self.live.new_from else 0


def step_digest(spec: StepSpec, files: Mapping[str, str]) -> str:
    """Digest of everything that acts in one step: options, limits, declarations and file bytes."""
    return digest(
        {
            "id": spec.id,
            "executor": spec.executor,
            "options": spec.options,
            "timeout_us": spec.timeout_us,
            "idempotent": spec.idempotent,
            "forward_only": spec.forward_only,
            "scope": spec.scope,
            "probe": spec.probe,
            "undo": spec.undo,
            "files": {path: files[path] for path in spec.files},
        }
    )
