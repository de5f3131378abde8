#!/usr/bin/env bash
# Sets up .venv and checks everything: ruff, mypy, import-linter, pytest (side by side, but for tests that start Ray).
# --slow adds the tests of minutes; other arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

marks="not slow"
if [ "${1:-}" = "--slow" ]; then
    marks="slow or not slow"
    shift
fi

make_venv
if ! is_installed dev; then
    install dev '.[dev]' --no-compile # modules are compiled when a test imports them, as few of all ever are
fi

step() {
    echo "== $*"
    "$@"
}

export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
bin=.venv/bin
step "$bin/ruff" check .
step "$bin/ruff" format --check .
step "$bin/mypy"
step "$bin/lint-imports"
if [ $# -gt 0 ]; then
    step "$bin/python" -m pytest -m "$marks" "$@"
else
    failed=0
    step "$bin/python" -m pytest -n auto --dist loadfile -m "($marks) and not ray" || failed=1
    step "$bin/python" -m pytest -m "($marks) and ray" || failed=1
    exit "$failed"
fi
