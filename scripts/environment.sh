# Sourced by the scripts beside it: finds Python, makes .venv, installs what the lists say when they changed.

find_python() {
    for candidate in python3.13 python3.12 python3.11 python3; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

make_venv() {
    if [ -x .venv/bin/python ]; then
        return 0
    fi
    if ! python="$(find_python)"; then
        echo "RoamRL needs Python 3.11, 3.12 or 3.13 with venv and pip, and found none on PATH." >&2
        echo "Install one (Debian and Ubuntu: apt install python3 python3-venv) and run this again." >&2
        exit 2
    fi
    echo "making .venv with $("$python" --version)"
    "$python" -m venv .venv
}

# The hash of all that the installed state follows from.
wanted_state() {
    .venv/bin/python - pyproject.toml constraints.txt <<'PYTHON'
import hashlib
import os
import sys
from pathlib import Path

digest = hashlib.sha256(os.getcwd().encode())
for name in sys.argv[1:]:
    digest.update(Path(name).read_bytes())
print(digest.hexdigest())
PYTHON
}

# is_installed KIND: whether that kind of installation is there as the lists say now.
is_installed() {
    [ -f ".venv/.installed-$1" ] && [ "$(cat ".venv/.installed-$1")" = "$(wanted_state)" ]
}

# install KIND REQUIREMENT [OPTION OF PIP]..
install() {
    echo "installing RoamRL and what it stands on (some minutes the first time)"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e "$2" "${@:3}"
    wanted_state >".venv/.installed-$1"
}
