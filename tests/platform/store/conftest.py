from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.population.modules.build import build_module, to_bundle
from roamrl.envs.canonical import canonical_json
from roamrl.platform.store import ExpertStore, ManifestFields
from roamrl.platform.store.bundle import encode_bundle
from roamrl.platform.store.entry import encode_entry, manifest_id
from roamrl.platform.store.layout import blob_key
from roamrl.platform.store.limits import Limits
from roamrl.platform.store.location import backend_at
from roamrl.platform.store.publish import stamp
from roamrl.platform.store.signing import Signer, generate_key

SPEC = ModuleSpec(
    "mlp", spaces.Box(-np.inf, np.inf, (5,), np.float32), spaces.Discrete(3), {"hidden": [8], "activation": "tanh"}
)
BUCKET = "team"
S3RVER = "3.7.1"
START_S = 90


@dataclass(frozen=True)
class S3Server:
    """An S3 endpoint on this machine with the bucket ``team``."""

    endpoint: str
    key: str
    secret: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
        }


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's credentials, keys, caches or spools, nor leaves anything there."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name in ("ROAMRL_STORE", "ROAMRL_SPOOL", "ROAMRL_CACHE_GB", "ROAMRL_SIGNATURES", "ROAMRL_SIGNING_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ROAMRL_CACHE", str(tmp_path / "cache"))
    trusted = tmp_path_factory.mktemp("config") / "trusted_keys.json"
    trusted.write_text('{"format": "roamrl-trusted-keys-v1", "keys": []}')
    trusted.chmod(0o600)
    monkeypatch.setenv("ROAMRL_TRUSTED_KEYS", str(trusted))


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "mine.pem"
    generate_key(path)
    return path


@pytest.fixture
def make_signer() -> Callable[[int], Signer]:
    """Signing keys by number: the same number gives the same key."""
    return lambda number=0: Signer(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An endpoint that honours ``If-None-Match``."""
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", "0"]
    with _served(command, tmp_path_factory.mktemp("moto") / "log", r"Running on (http://127\.0\.0\.1:\d+)") as endpoint:
        request = urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")
        with urllib.request.urlopen(request, timeout=START_S) as answer:
            assert answer.status == 200
        yield S3Server(endpoint, "key", "secret")


@pytest.fixture(scope="session")
def s3rver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An endpoint that ignores ``If-None-Match``: a second creation replaces the first."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        words = "needs npm and node for the package s3rver, an endpoint that ignores If-None-Match"
        if os.environ.get("CI"):
            pytest.fail(words)
        pytest.skip(words)
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "roamrl-tests" / f"s3rver-{S3RVER}"
    program = home / "node_modules" / "s3rver" / "bin" / "s3rver.js"
    if not program.exists():
        home.mkdir(parents=True, exist_ok=True)
        options = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(home)]
        subprocess.run([npm, "install", *options, f"s3rver@{S3RVER}"], check=True, capture_output=True, timeout=240)
    folder = tmp_path_factory.mktemp("s3rver")
    command = [node, str(program), "-d", str(folder / "data"), "-a", "127.0.0.1", "-p", "0", "--no-vhost-buckets"]
    (folder / "data").mkdir()
    command += ["--silent", "--configure-bucket", BUCKET]
    legacy = "--openssl-legacy-provider"  # its tokens for further pages of a list use a cipher that OpenSSL 3 retired
    with _served(command, folder / "log", r"listening on (127\.0\.0\.1:\d+)", NODE_OPTIONS=legacy) as host:
        yield S3Server(f"http://{host}", "S3RVER", "S3RVER")


class _served:
    """A server process until the block ends; gives what its log says of the address."""

    def __init__(self, command: Sequence[str], log: Path, pattern: str, **variables: str) -> None:
        self._command, self._log, self._pattern = command, log, pattern
        self._environment = {**os.environ, **variables}

    def __enter__(self) -> str:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=self._environment)
        until = time.monotonic() + START_S
        while time.monotonic() < until and self._process.poll() is None:
            match = re.search(self._pattern, self._log.read_text(errors="replace"))
            if match:
                return match[1]
            time.sleep(0.05)
        self.__exit__()
        raise RuntimeError(f"{self._command} did not start:\n{self._log.read_text(errors='replace')}")

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a new store can be; parametrise it indirectly with ``folder``, ``moto_server`` or ``s3rver``."""
    kind = request.param
    if kind == "folder":
        return str(tmp_path / "store")
    for name, value in request.getfixturevalue(kind).environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{uuid.uuid4().hex}/store"


@pytest.fixture
def store(tmp_path: Path) -> ExpertStore:
    return ExpertStore.init(tmp_path / "store")


@pytest.fixture
def make_bundle() -> Callable[[int], PolicyBundle]:
    def make(seed: int = 0) -> PolicyBundle:
        return to_bundle(build_module(SPEC, [seed]), 0)

    return make


@pytest.fixture
def make_fields() -> Callable[..., ManifestFields]:
    def make(**overrides: Any) -> ManifestFields:
        return ManifestFields(
            **{
                "family": "slicing-v1",
                "config": {"bandwidth_mhz": 40},
                "context": {"load": 0.8, "weights": [0.2, 0.8], "scheduler": "pf"},
                "features": (0.8, 0.2),
                "strategy": "scratch",
                "env_steps": 1000,
                "seed": 3,
                "scores": {"val": {"mean": 0.5, "low": 0.4, "high": 0.6, "seeds": [1], "episodes": 100}},
                **overrides,
            }
        )

    return make


@pytest.fixture
def honest(make_bundle, make_fields) -> tuple[dict[str, Any], bytes]:
    """The manifest, as JSON, and the blob of a policy that is as it should be."""
    manifest, blob = encode_bundle(make_bundle(), make_fields(), Limits())
    return manifest.model_dump(mode="json"), blob


@pytest.fixture
def plant() -> Callable[[ExpertStore, dict[str, Any], bytes], str]:
    """Put an entry into a store as a stranger would, with consistent digests and no checks."""

    def put(store: ExpertStore, manifest: dict[str, Any], blob: bytes) -> str:
        manifest = {**manifest, "blob": {"sha256": hashlib.sha256(blob).hexdigest(), "size": len(blob)}}
        content = canonical_json(manifest)
        backend = backend_at(store.location)
        backend.put(blob_key(manifest["blob"]["sha256"]), blob)
        backend.put(f"entries/20250101/{manifest_id(content)}.json", encode_entry(content, stamp("stranger")))
        return manifest_id(content)

    return put
