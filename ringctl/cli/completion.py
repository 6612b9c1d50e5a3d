"""Completion: scripts made from the static tables (a TAB starts no program), and `__complete` for the one
thing they cannot hold: the rollouts of the store. No third party is imported here."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ringctl.cli import manifest
from ringctl.core.errors import UsageError

SHELLS = ("bash", "zsh", "fish")
HELP = """\
usage: ringctl completion bash|zsh|fish

Print a completion script.
  bash   ringctl completion bash > ~/.local/share/bash-completion/completions/ringctl
  zsh    ringctl completion zsh > "${fpath[1]}/_ringctl"
  fish   ringctl completion fish > ~/.config/fish/completions/ringctl.fish
"""

Table = Mapping[str, tuple[str, str, str]]


def answer(words: Sequence[str], table: Table) -> str:
    """What `ringctl completion WORDS` prints."""
    if words and words[0] in {"-h", "--help"}:
        return HELP
    if len(words) != 1 or words[0] not in SHELLS:
        said = f"unknown shell `{ascii(words[0])[1:-1]}`" if len(words) == 1 else "name one shell"
        raise UsageError(f"{said}; known: {', '.join(SHELLS)}", hint="ringctl completion --help")
    return {"bash": bash, "zsh": zsh, "fish": fish}[words[0]](table)


def candidates(words: Sequence[str]) -> Iterable[str]:
    """`__complete rollouts [STATE]`: ids of rollouts, newest first; nothing when there is no answer."""
    if not words or words[0] != "rollouts":
        return ()
    import os

    state = (words[1:2] or [""])[0] or os.environ.get("RINGCTL_STATE") or "sqlite:///ringctl.db"
    path = state.removeprefix("sqlite:///")
    if path == state or not Path(path).is_file():
        return ()
    import sqlite3

    try:
        # read-only: a TAB must neither make a file nor wait for a writer
        with sqlite3.connect(
            f"{Path(path).absolute().as_uri()}?mode=ro", uri=True, timeout=0.2
        ) as connection:
            rows = connection.execute("select id from rollout order by created_us desc limit 200").fetchall()
    except sqlite3.Error:
        return ()
    return [str(row[0]) for row in rows if str(row[0]).replace("-", "").replace(".", "").isalnum()]


def commands(table: Table) -> list[tuple[str, str]]:
    """(command with its subcommand, own options with `=`) of everything."""
    found = []
    for name in table:
        subs = manifest.subcommands(name)
        keys = [f"{name} {sub}" for sub in subs] or [name]
        found += [(key, manifest.OPTIONS.get(key, "")) for key in keys]
    return found


def _plain(options: str) -> str:
    return " ".join(word.removesuffix("=") for word in options.split())


def _global_words() -> str:
    return _plain(manifest.GLOBALS)


def _valued() -> list[str]:
    everything = " ".join([manifest.GLOBALS, *manifest.OPTIONS.values()]).split()
    return sorted({word[:-1] for word in everything if word.endswith("=")} | {"-o"})


def bash(table: Table) -> str:
    """The script for bash 3.2 and newer; it needs no bash-completion package."""
    groups = [name for name in table if manifest.subcommands(name)]
    cases = [f"    {name}) words='{' '.join(manifest.subcommands(name))}' ;;" for name in groups]
    options = [f"    '{key}') words='{_plain(own)}' ;;" for key, own in commands(table)]
    values = [f"    {name}) words='{' '.join(known)}' ;;" for name, known in manifest.CHOICES.items()]
    files = [name for name, kind in manifest.FILES.items() if kind == "file"]
    folders = [name for name, kind in manifest.FILES.items() if kind == "directory"]
    return _BASH.format(
        commands=" ".join(table),
        groups="|".join(groups),
        subcommands="\n".join(cases),
        options="\n".join(options),
        values="\n".join(values),
        files="|".join(files),
        folders="|".join(folders),
        valued="|".join(_valued()),
        globals=_global_words(),
        rollouts=_alternatives(manifest.ROLLOUT),
        arguments="\n".join(
            f"    '{name}') words='{' '.join(known)}' ;;" for name, known in manifest.ARGUMENTS.items()
        ),
        paths=_alternatives(tuple(manifest.PATHS)),
    )


def _alternatives(keys: Sequence[str]) -> str:
    return "|".join(f"'{key}'" for key in keys) or "'-'"


def zsh(table: Table) -> str:
    """The script for zsh: one `_arguments` call a command."""
    described = "\n".join(f"    '{name}:{_quoted(text)}'" for name, (_, text, _) in table.items())
    cases = []
    for name in table:
        subs = manifest.subcommands(name)
        if not subs:
            cases += [f"  {name})", f"    {_zsh_arguments(name)} ;;"]
            continue
        cases += [f"  {name})", f"    if ((CURRENT == 2)); then compadd -- {' '.join(subs)}; return; fi"]
        cases += ["    shift words; ((CURRENT--))", "    case $words[1] in"]
        cases += [f"    {sub}) {_zsh_arguments(f'{name} {sub}')} ;;" for sub in subs]
        cases += ["    esac ;;"]
    shared = " ".join(_zsh_option(word) for word in manifest.GLOBALS.split())
    return _ZSH.format(described=described, cases="\n".join(cases), shared=shared)


def _zsh_arguments(key: str) -> str:
    specs = [_zsh_option(word) for word in manifest.OPTIONS.get(key, "").split()]
    if key in manifest.ROLLOUT:
        specs.append("'*:rollout:{compadd -- last $(ringctl __complete rollouts 2>/dev/null)}'")
    if key in manifest.PATHS:
        specs.append("'*:path:_files'")
    if key in manifest.ARGUMENTS:
        specs.append(f"'1:what:({' '.join(manifest.ARGUMENTS[key])})'")
    return " ".join(["_arguments $shared", *specs])


def _zsh_option(word: str) -> str:
    name = word.removesuffix("=")
    if name in manifest.CHOICES:
        return f"'{word}:value:({' '.join(manifest.CHOICES[name])})'"
    if name in manifest.FILES:
        return f"'{word}:path:_files{' -/' if manifest.FILES[name] == 'directory' else ''}'"
    return f"'{word}:value:'" if word.endswith("=") else f"'{name}'"


def fish(table: Table) -> str:
    """The script for fish."""
    lines = ["# fish completion of ringctl", "complete -c ringctl -f", _FISH_FUNCTIONS]
    for name, (_, text, _) in table.items():
        lines.append(f"complete -c ringctl -n __ringctl_bare -a {name} -d '{_quoted(text)}'")
        lines += [
            f"complete -c ringctl -n '__ringctl_in {name}' -a {sub}" for sub in manifest.subcommands(name)
        ]
    for key, own in commands(table):
        where = f"__ringctl_in {key}"
        lines += [_fish_option(where, word) for word in own.split()]
        if key in manifest.ROLLOUT:
            lines.append(f"complete -c ringctl -n '{where}' -a '(ringctl __complete rollouts 2>/dev/null)'")
        if key in manifest.PATHS:
            lines.append(f"complete -c ringctl -n '{where}' -F")
        for word in manifest.ARGUMENTS.get(key, ()):
            lines.append(f"complete -c ringctl -n '{where}' -a {word}")
    lines += [_fish_option("", word) for word in manifest.GLOBALS.split()]
    return "\n".join(lines) + "\n"


def _fish_option(where: str, word: str) -> str:
    name = word.removesuffix("=")
    letters = f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
    line = "complete -c ringctl" + (f" -n '{where}'" if where else "") + f" {letters}"
    if name in manifest.CHOICES:
        return f"{line} -x -a '{' '.join(manifest.CHOICES[name])}'"
    if name in manifest.FILES:
        return f"{line} -r -F"
    return f"{line} -x" if word.endswith("=") else line


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "").replace(":", "\\:").replace("`", "")


_BASH = """\
# bash completion of ringctl; made from its command table
_ringctl() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before='' command='' sub='' key='' words='' i skip=''
  [ "$COMP_CWORD" -gt 0 ] && before=${{COMP_WORDS[COMP_CWORD-1]}}
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    if [ -n "$skip" ]; then skip=''; continue; fi
    case ${{COMP_WORDS[i]}} in
    {valued}) skip=1 ;;
    -*) ;;
    *) if [ -z "$command" ]; then command=${{COMP_WORDS[i]}}; elif [ -z "$sub" ]; then sub=${{COMP_WORDS[i]}}; fi ;;
    esac
  done
  case $before in
{values}
    {files}) COMPREPLY=($(compgen -f -- "$word")); return ;;
    {folders}) COMPREPLY=($(compgen -d -- "$word")); return ;;
    {valued}) return ;;
  esac
  if [ -n "$words" ]; then COMPREPLY=($(compgen -W "$words" -- "$word")); return; fi
  key=$command
  case $command in
  {groups}) key="$command $sub" ;;
  esac
  if [[ $word == -* ]]; then
    case $key in
{options}
    esac
    COMPREPLY=($(compgen -W "$words {globals}" -- "$word"))
    return
  fi
  if [ -z "$command" ]; then COMPREPLY=($(compgen -W '{commands}' -- "$word")); return; fi
  if [ -z "$sub" ]; then
    case $command in
{subcommands}
    esac
    if [ -n "$words" ]; then COMPREPLY=($(compgen -W "$words" -- "$word")); return; fi
  fi
  case $key in
{arguments}
    {rollouts}) words="last $(ringctl __complete rollouts 2>/dev/null)" ;;
    {paths}) COMPREPLY=($(compgen -f -- "$word")); return ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o filenames -F _ringctl ringctl 2>/dev/null || complete -F _ringctl ringctl
"""

_ZSH = """\
#compdef ringctl
# zsh completion of ringctl; made from its command table
_ringctl() {{
  local -a known shared
  known=(
{described}
  )
  shared=({shared})
  if ((CURRENT == 2)) && [[ $words[2] != -* ]]; then _describe command known; return; fi
  if ((CURRENT == 2)); then _arguments $shared; return; fi
  shift words; ((CURRENT--))
  case $words[1] in
{cases}
  esac
}}
if [ "$funcstack[1]" = "_ringctl" ]; then _ringctl "$@"; else compdef _ringctl ringctl; fi
"""

_FISH_FUNCTIONS = """\
function __ringctl_words
    set -l found
    for word in (commandline -opc)[2..-1]
        string match -q -- '-*' $word; or set -a found $word
    end
    string join \\n -- $found
end
function __ringctl_bare
    test (count (__ringctl_words)) -eq 0
end
function __ringctl_in
    set -l found (__ringctl_words)
    test (count $found) -ge (count $argv); and test "$found[1..$(count $argv)]" = "$argv"
end"""
