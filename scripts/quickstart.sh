#!/usr/bin/env bash
# Sets up .venv and runs the main job small, on built-in defaults. Arguments go to `roamrl run quick`.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

make_venv
if ! is_installed run && ! is_installed dev; then
    install run .
fi

status=0
output="$(.venv/bin/roamrl run quick "$@")" || status=$?
echo "$output"
folder="${output##*$'\n'}"
if [ -f "$folder/report/index.html" ]; then
    echo "open the report: $folder/report/index.html"
fi
exit "$status"
