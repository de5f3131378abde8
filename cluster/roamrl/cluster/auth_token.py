"""The token of a local Ray session, in a file that only its owner reads.

Ray 2.60 turns token authentication on whenever it starts a local session, and writes ``~/.ray/auth_token`` with the
umask's mode, so mostly 0644 (``ray/_private/authentication/authentication_token_setup.py``). Whoever reads that
file can run code as its owner. So the file is made here, before Ray looks for it, with mode 0600.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from roamrl.cluster.errors import ClusterError

AUTH_MODE = "RAY_AUTH_MODE"
AUTH_TOKEN = "RAY_AUTH_TOKEN"
AUTH_TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"

_TOKEN_BYTES = 32
_OWNER_ONLY = stat.S_IRUSR | stat.S_IWUSR


def token_file() -> Path:
    """Return the file in which Ray looks for a token if the environment names none."""
    return Path.home() / ".ray" / "auth_token"


def prepare_token() -> Path | None:
    """Make sure that a local session finds a token nobody else can read.

    Ray's own order holds: ``RAY_AUTH_TOKEN``, then the file named by ``RAY_AUTH_TOKEN_PATH``, then
    ``~/.ray/auth_token``. Only the last is ever made here; if it is there already, its mode is tightened.

    Returns:
        The default token file, or None where Ray uses another token or none (``RAY_AUTH_MODE=disabled``).

    Raises:
        ClusterError: If ``RAY_AUTH_TOKEN_PATH`` names no readable file or the default file cannot be made.
    """
    if os.environ.get(AUTH_MODE, "token").lower() != "token" or os.environ.get(AUTH_TOKEN):
        return None
    named = os.environ.get(AUTH_TOKEN_PATH)
    if named:
        _check_named(Path(named))
        return None
    path = token_file()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create(path)
        protect_token(path)
    except OSError as error:
        raise ClusterError(
            f"cannot make Ray's token file {path}: {error.strerror}; make its folder writable, "
            f"or name a file of yours in {AUTH_TOKEN_PATH}"
        ) from error
    return path


def require_token() -> None:
    """Turn token authentication on for Ray in this process and the processes it starts, with a token to use.

    Raises:
        ClusterError: If the environment turns it off, or as :func:`prepare_token`.
    """
    mode = os.environ.get(AUTH_MODE, "token")
    if mode.lower() != "token":
        raise ClusterError(
            f"{AUTH_MODE}={mode} leaves a cluster open to all who reach it; unset it, or set it to token"
        )
    prepare_token()
    os.environ[AUTH_MODE] = "token"


def find_token() -> tuple[str, Path | None] | None:
    """Return the token that Ray would use here and the file it is in (None: a variable), or None if there is none.

    Raises:
        ClusterError: If ``RAY_AUTH_TOKEN_PATH`` names no readable file.
    """
    if token := os.environ.get(AUTH_TOKEN):
        return token.strip(), None
    named = os.environ.get(AUTH_TOKEN_PATH)
    if named:
        _check_named(Path(named))
    path = Path(named) if named else token_file()
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return (token, path) if token else None


def protect_token(path: Path) -> None:
    """Take the rights of group and others off a token file that is there."""
    if path.exists() and stat.S_IMODE(path.stat().st_mode) & ~_OWNER_ONLY:
        path.chmod(_OWNER_ONLY)


def _create(path: Path) -> None:
    """Put a new token into a file that is not there yet; whoever comes second keeps the first one's."""
    if path.exists() and path.stat().st_size:
        return
    draft = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(_TOKEN_BYTES))
            file.flush()
            os.fsync(file.fileno())
        if path.exists() and not path.stat().st_size:
            path.unlink()
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()


def _check_named(path: Path) -> None:
    if not path.is_file() or not os.access(path, os.R_OK) or not path.stat().st_size:
        raise ClusterError(
            f"{AUTH_TOKEN_PATH} names {path}, which is no readable file with a token; "
            "write one into it (`openssl rand -hex 32`), or unset the variable"
        )
