"""Writing the files for Kubernetes and for Ray's cluster launcher, filled in for an image, sizes and versions."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import distribution, version
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from roamrl.cluster.errors import ClusterError
from roamrl.cluster.wheel import job_wheel

_SUFFIX = ".j2"
_IMAGE = re.compile(r"[a-z0-9][\w./:@-]*")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


@dataclass(frozen=True)
class ManifestOptions:
    """What the files are filled in with.

    Attributes:
        image: Name under which the Dockerfile's image is built and pulled.
        max_workers: Most worker pods.
        cpus: CPUs of a worker.
        memory_gib: Memory of a worker in GiB.
        storage_gib: Shared storage in GiB.
        storage_class: Class of the shared storage, one that many pods may mount (ReadWriteMany); None for the cluster's
            default.
    """

    image: str = "roamrl:latest"
    max_workers: int = 8
    cpus: int = 4
    memory_gib: int = 8
    storage_gib: int = 100
    storage_class: str | None = None


def write_manifests(folder: Path, options: ManifestOptions | None = None) -> list[Path]:
    """Write the files, with the wheel of the code as it is here and its requirements at the versions that are here.

    Returns:
        What was written.

    Raises:
        ClusterError: If an option cannot stand in a manifest, or the folder has files of these names or cannot be
            written.
    """
    asked = options or ManifestOptions()
    _check(asked)
    texts = dict(_rendered(asked))
    wheel = job_wheel()
    standing = sorted(name for name in (*texts, wheel.name) if (folder / name).exists())
    if standing:
        raise ClusterError(f"{folder} has {', '.join(standing)} already; name another folder, or remove them")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        shutil.copyfile(wheel, folder / wheel.name)
    except OSError as error:
        raise ClusterError(f"cannot write to {folder}: {error.strerror}") from error
    return [folder / name for name in (*texts, wheel.name)]


def pinned_requirements(name: str = "roamrl") -> list[str]:
    """Return what a distribution needs, without extras, each at the version that is installed here."""
    found = []
    for line in distribution(name).requires or ():
        requirement, _, condition = line.partition(";")
        if "extra" in condition:
            continue
        words = re.match(r"[\w.-]+(\[[\w.,-]+\])?", requirement)
        assert words is not None  # metadata of an installed distribution
        installed = version(words[0].partition("[")[0]).partition("+")[0]
        found.append(f"{words[0]}=={installed}")
    return sorted(found)


def _check(options: ManifestOptions) -> None:
    if not _IMAGE.fullmatch(options.image):
        raise ClusterError(f"{options.image!r} is no name of an image, e.g. registry.example.org/roamrl:1")
    if options.storage_class is not None and not _NAME.fullmatch(options.storage_class):
        raise ClusterError(f"{options.storage_class!r} is no name of a storage class; `kubectl get storageclass`")
    for name in ("max_workers", "cpus", "memory_gib", "storage_gib"):
        if getattr(options, name) < 1:
            raise ClusterError(f"{name} must be 1 or more, got {getattr(options, name)}")


def _rendered(options: ManifestOptions) -> Iterator[tuple[str, str]]:
    environment = Environment(
        loader=PackageLoader("roamrl.cluster.kubernetes"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    values = {
        **asdict(options),
        "ray_version": version("ray"),
        "python": f"{sys.version_info.major}{sys.version_info.minor}",
    }
    for name in sorted(environment.list_templates()):
        if name.endswith(_SUFFIX) and not name.startswith("_"):
            yield name.removesuffix(_SUFFIX), environment.get_template(name).render(values)
    yield "requirements.txt", "\n".join(pinned_requirements()) + "\n"
