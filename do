#!/bin/sh
# The one door for a checkout: ./do demo, ./do test, ./do lint ... (./do help lists all).
# Needs Python >= 3.11 with venv; uses uv when it is there. Makes .venv once, from the hash-pinned lock.
set -eu
cd "$(dirname "$0")"
root="$PWD"
venv="$root/.venv"

usage() {
  cat <<'TEXT'
usage: ./do COMMAND [ARGS]
  demo [ARGS]    the story in your terminal: a bad upgrade stopped in the canary (ringctl demo ARGS)
  test [ARGS]    every suite, its seconds and its count; ARGS go to pytest instead of the suites
  lint           format, ruff, mypy, import layers
  bench [ARGS]   the benchmarks
  nightly        the suites of `test` with bigger numbers
  venv [ARGS]    only make .venv for tests (`venv run`: for the demo alone) and stop
  ci-setup       install what the last tests need from Debian (as root): Prometheus, strace, spin, gcc
TEXT
}

say() { printf '%s\n' "$*" >&2; }
die() {
  say "error: $1"
  shift
  for line in "$@"; do say "  $line"; done
  exit 1
}

find_python() { # sets $python: the first Python that is new enough and can make a venv
  too_old=""
  no_venv=""
  for python in ${RINGCTL_PYTHON:-python3 python3.13 python3.12 python3.11 python3.14}; do
    command -v "$python" >/dev/null 2>&1 || continue
    "$python" -c 'import sys' >/dev/null 2>&1 || continue
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
      too_old="$too_old $python"
    elif command -v uv >/dev/null 2>&1 || "$python" -c 'import ensurepip, venv' 2>/dev/null; then
      return 0
    else
      no_venv="$no_venv $python"
    fi
  done
  if [ -n "$no_venv" ]; then
    die "found Python >= 3.11 ($(echo "$no_venv" | sed 's/^ //')) but not its venv module" \
      "Debian, Ubuntu: apt-get install python3-venv" "any system: install uv, then run this again"
  fi
  die "ringctl needs Python >= 3.11${too_old:+; too old here:$too_old}" \
    "Debian, Ubuntu: apt-get install python3 python3-venv" "macOS: brew install python" \
    "elsewhere: name one with RINGCTL_PYTHON=/path/to/python ./do ..."
}

checksum() { cat "$@" | cksum | tr ' ' '-'; }

install_lock() { # install_lock LOCK
  if command -v uv >/dev/null 2>&1; then
    uv pip install --quiet --python "$venv/bin/python" --require-hashes -r "$1"
  else
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes -r "$1"
  fi
}

install_checkout() { # the package itself, editable, with the pinned build backend of the lock
  if command -v uv >/dev/null 2>&1; then
    uv pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation -e .
  else
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check \
      --no-deps --no-build-isolation -e .
  fi
}

# ensure_venv run|test: stamps hold the checksum of the lock they were made from; `test` contains `run`.
ensure_venv() {
  need="$1"
  lock="$(checksum requirements.lock requirements-run.lock)"
  have="none"
  if [ -x "$venv/bin/python" ] && "$venv/bin/python" -c '' 2>/dev/null; then
    for kind in run test; do
      [ "$(cat "$venv/.ringctl-$kind" 2>/dev/null)" = "$lock" ] && have="$kind"
    done
    if [ "$have" = none ] && cat "$venv"/.ringctl-* >/dev/null 2>&1; then
      say "the lock has changed: .venv is made anew"
      rm -rf "$venv"
    fi
  fi
  if ! [ -x "$venv/bin/python" ] || ! "$venv/bin/python" -c '' 2>/dev/null; then
    find_python
    rm -rf "$venv"
    say "making .venv (once)"
    if command -v uv >/dev/null 2>&1; then
      uv venv --quiet --python "$python" "$venv"
    else
      "$python" -m venv "$venv"
    fi
  fi
  if [ "$have" = none ] || { [ "$need" = test ] && [ "$have" = run ]; }; then
    file=requirements-run.lock
    if [ "$need" = test ]; then file=requirements.lock; fi
    say "installing from $file (once)"
    install_lock "$file"
    printf '%s\n' "$lock" >"$venv/.ringctl-$need"
  fi
  package="$(checksum pyproject.toml)"
  if [ "$(cat "$venv/.ringctl-package" 2>/dev/null)" != "$package" ]; then
    install_checkout
    printf '%s\n' "$package" >"$venv/.ringctl-package"
  fi
  PATH="$venv/bin:$PATH"
  export PATH
}

# What the last tests need from Debian, one a line: a program that tests ask for with `needs`, and its packages.
# Only the programs are wanted: services are kept off.
debian="\
prometheus prometheus
strace strace
spin spin
gcc gcc libc6-dev"

lacking() { # sets $missing: the packages of the programs that are not there
  missing=""
  while read -r program packages; do
    command -v "$program" >/dev/null 2>&1 || missing="$missing $packages"
  done <<LIST
$debian
LIST
}

ci_setup() {
  lacking
  if [ -z "$missing" ]; then
    say "ci-setup: everything is there"
    return 0
  fi
  command -v apt-get >/dev/null 2>&1 || die "ci-setup needs apt-get; install by hand:$missing"
  [ "$(id -u)" = 0 ] || die "ci-setup needs root" "sudo ./do ci-setup"
  say "ci-setup: installing$missing"
  policy=/usr/sbin/policy-rc.d
  if ! [ -e "$policy" ]; then # Debian asks this file before it starts a service: 101 means no
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086  # a list of words on purpose
  apt-get -qq install -y --no-install-recommends $missing >/dev/null 2>&1 || {
    apt-get -qq update
    apt-get -qq install -y --no-install-recommends $missing >/dev/null
  }
  case "$missing" in
    *prometheus*) # the package just came: its service is no one's yet
      service prometheus stop >/dev/null 2>&1 || true
      systemctl disable prometheus >/dev/null 2>&1 || true
      ;;
  esac
  lacking
  [ -z "$missing" ] || die "still missing after the install:$missing"
}

lint() { # every linter runs, so that one call shows all that is wrong
  failed=""
  run() {
    say "lint: $*"
    "$@" || failed="$failed$*; "
  }
  run ruff format --check
  run ruff check
  run mypy
  run lint-imports
  [ -z "$failed" ] || die "lint failed: ${failed%; }"
  say "lint: all good"
}

command="${1:-help}"
[ "$#" -eq 0 ] || shift
case "$command" in
  demo)
    ensure_venv run
    exec python -m ringctl demo "$@"
    ;;
  test)
    ensure_venv test
    exec python scripts/suites.py "$@"
    ;;
  nightly)
    ensure_venv test
    RINGCTL_TEST_SCALE=nightly
    RINGCTL_SUITE_SECONDS="${RINGCTL_SUITE_SECONDS:-14400}"
    export RINGCTL_TEST_SCALE RINGCTL_SUITE_SECONDS
    exec python scripts/suites.py "$@"
    ;;
  lint)
    ensure_venv test
    lint
    ;;
  bench)
    case " $* " in
      *" exclusive "*) # beside its peers, which live in a venv of their own
        venv="$root/.venv-bench"
        lock="$(checksum requirements-bench.lock pyproject.toml)"
        if [ "$(cat "$venv/.ringctl-bench" 2>/dev/null)" != "$lock" ]; then
          find_python
          rm -rf "$venv"
          say "making .venv-bench from requirements-bench.lock (once)"
          if command -v uv >/dev/null 2>&1; then
            uv venv --quiet --python "$python" "$venv"
          else
            "$python" -m venv "$venv"
          fi
          install_lock requirements-bench.lock
          install_checkout
          printf '%s\n' "$lock" >"$venv/.ringctl-bench"
        fi
        PATH="$venv/bin:$PATH"
        export PATH
        ;;
      *) ensure_venv test ;;
    esac
    exec python -m bench "$@"
    ;;
  venv)
    ensure_venv "${1:-test}"
    ;;
  ci-setup) ci_setup ;;
  help | -h | --help) usage ;;
  *)
    say "error: unknown command: $command"
    usage >&2
    exit 2
    ;;
esac
