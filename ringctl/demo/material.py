"""The files that the demo hands to ringctl: upgrade bundles and the policy, from the package's own files.

| fault    | first bundle | amendment         | what is wrong with the first                          |
| -------- | ------------ | ----------------- | ----------------------------------------------------- |
| `window` | `r1-window`  | `r2-fixed`        | readers of the new form only, while data is still old |
| `errors` | `r1-errors`  | `r2-errors-fixed` | a column is renamed under the service                 |
| `none`   | `r1-none`    |                   | nothing                                               |
"""

from importlib.resources import files
from pathlib import Path
from string import Template

# fault -> bundle to start with, bundle to amend it with
STORIES = {
    "window": ("r1-window", "r2-fixed"),
    "errors": ("r1-errors", "r2-errors-fixed"),
    "none": ("r1-none", ""),
}
# bundle -> its readers; what follows is the same in all. The SQL is the same on both engines.
READERS = {
    "r1-window": "readers_new.sql",
    "r1-errors": "readers_renamed.sql",
    "r1-none": "readers_both.sql",
    "r2-fixed": "readers_both.sql",
    "r2-errors-fixed": "readers_both.sql",
}
CLOSING = {"r1-window", "r1-errors"}
BATCHES = ("encode.sql", "definitions.sql")
POLICY_FILE = "policy.yaml"


def bundle_text(name: str, file: str) -> str:
    """The text of one file of a bundle (`bundle.yaml`, `readers.sql`, `encode.sql`, ...). KeyError if unknown."""
    return _packaged(f"bundles/{_sources(name)[file]}")


def write_bundle(directory: Path, name: str) -> Path:
    """Write a bundle to `directory/bundles/NAME` and return that folder."""
    folder = directory / "bundles" / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in _sources(name):
        (folder / file).write_text(bundle_text(name, file), encoding="utf-8")
    return folder


def write_policy(directory: Path, source_type: str, url: str) -> Path:
    """Write `policy.yaml`; `source_type` is `scrape` (url: the service's) or `prometheus` (url: the server's)."""
    address = f"{url}/metrics" if source_type == "scrape" else url
    template = Template(_packaged(POLICY_FILE))
    path = directory / POLICY_FILE
    path.write_text(template.substitute(source_type=source_type, source_url=address), encoding="utf-8")
    return path


def _sources(name: str) -> dict[str, str]:
    """File in the bundle -> file in the package."""
    sources = {"bundle.yaml": f"{name}.yaml", "readers.sql": READERS[name]}
    sources |= {file: file for file in BATCHES}
    if name in CLOSING:
        sources["close.sql"] = "close.sql"
    return sources


def _packaged(path: str) -> str:
    return files("ringctl.demo").joinpath(path).read_text("utf-8")
