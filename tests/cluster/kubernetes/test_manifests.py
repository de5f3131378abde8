"""The files for clusters of others: of the form their readers ask for, with a token, shared storage and bounds."""

from __future__ import annotations

import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field
from ray.autoscaler._private.util import prepare_config, validate_config

from roamrl.cluster.errors import ClusterError
from roamrl.cluster.kubernetes.manifests import ManifestOptions, write_manifests

OPTIONS = ManifestOptions("registry.example.org/roamrl:7", 5, 3, 6, 50, "nfs")


class Part(BaseModel):
    """A part of a manifest: what it may say by KubeRay's reference of fields (1.6), as far as we say it."""

    model_config = ConfigDict(extra="forbid")


class Mount(Part):
    name: str
    mountPath: str


class Resources(Part):
    requests: dict[Literal["cpu", "memory"], str]
    limits: dict[Literal["cpu", "memory"], str]


class Port(Part):
    containerPort: int
    name: str = Field(max_length=15)


class Container(Part):
    name: str
    image: str
    ports: list[Port] = []
    resources: Resources
    volumeMounts: list[Mount]


class Claim(Part):
    claimName: str


class Volume(Part):
    name: str
    persistentVolumeClaim: Claim


class PodSpec(Part):
    securityContext: dict[Literal["fsGroup"], int]
    containers: list[Container] = Field(min_length=1)
    volumes: list[Volume]


class Template(Part):
    spec: PodSpec


class HeadGroup(Part):
    serviceType: Literal["ClusterIP"]
    rayStartParams: dict[str, str]
    template: Template


class WorkerGroup(Part):
    groupName: str
    replicas: int
    minReplicas: int
    maxReplicas: int
    rayStartParams: dict[str, str]
    template: Template


class Auth(Part):
    mode: Literal["token"]
    secretName: str


class Autoscaler(Part):
    upscalingMode: Literal["Default", "Conservative"]
    idleTimeoutSeconds: int


class ClusterSpec(Part):
    rayVersion: str
    authOptions: Auth
    enableInTreeAutoscaling: bool
    autoscalerOptions: Autoscaler
    headGroupSpec: HeadGroup
    workerGroupSpecs: list[WorkerGroup] = Field(min_length=1)


class Metadata(Part):
    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=50)


class RayCluster(Part):
    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayCluster"]
    metadata: Metadata
    spec: ClusterSpec


class JobSpec(Part):
    entrypoint: str
    submissionMode: Literal["K8sJobMode"]
    backoffLimit: int
    shutdownAfterJobFinishes: bool
    ttlSecondsAfterFinished: int
    rayClusterSpec: ClusterSpec


class RayJob(Part):
    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayJob"]
    metadata: Metadata
    spec: JobSpec


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manifests")
    assert {path.name for path in write_manifests(folder, OPTIONS)} == {path.name for path in folder.iterdir()}
    return folder


def read(folder: Path, name: str) -> dict[str, Any]:
    value: dict[str, Any] = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
    return value


def specs(folder: Path) -> list[ClusterSpec]:
    job = RayJob.model_validate(read(folder, "rayjob.yaml"))
    return [RayCluster.model_validate(read(folder, "raycluster.yaml")).spec, job.spec.rayClusterSpec]


def test_clusters_ask_for_a_token_and_are_not_open_to_the_network(written: Path) -> None:
    for spec in specs(written):
        assert spec.authOptions.secretName == "roamrl-token"
        assert spec.headGroupSpec.serviceType == "ClusterIP"
    text = "".join(path.read_text(encoding="utf-8") for path in written.glob("*.yaml"))
    assert "stringData" not in text  # no token is ever written into a file


def test_clusters_are_as_asked_for(written: Path) -> None:
    for spec in specs(written):
        (workers,) = spec.workerGroupSpecs
        (head,), (worker,) = spec.headGroupSpec.template.spec.containers, workers.template.spec.containers
        assert spec.rayVersion == version("ray")
        assert 0 <= workers.minReplicas <= workers.replicas <= workers.maxReplicas == 5
        assert worker.resources.limits == worker.resources.requests == {"cpu": "3", "memory": "6Gi"}
        assert head.image == worker.image == "registry.example.org/roamrl:7"


def test_every_pod_mounts_the_storage_that_is_claimed(written: Path) -> None:
    claim = read(written, "storage.yaml")
    assert claim["kind"] == "PersistentVolumeClaim"
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert claim["spec"]["storageClassName"] == "nfs"
    assert claim["spec"]["resources"]["requests"]["storage"] == "50Gi"
    for spec in specs(written):
        for pod in (spec.headGroupSpec.template.spec, spec.workerGroupSpecs[0].template.spec):
            assert pod.volumes[0].persistentVolumeClaim.claimName == claim["metadata"]["name"]
            assert [mount.name for mount in pod.containers[0].volumeMounts] == [pod.volumes[0].name]
            assert pod.containers[0].volumeMounts[0].mountPath == "/shared"


def test_a_job_leaves_its_results_on_the_storage(written: Path) -> None:
    words = read(written, "rayjob.yaml")["spec"]["entrypoint"].split()
    assert words[:4] == ["python", "-m", "roamrl.platform", "run"]
    assert all(words[words.index(option) + 1].startswith("/shared/") for option in ("--out", "--store"))


def test_the_launchers_file_is_one_that_ray_accepts(written: Path) -> None:
    config = prepare_config(read(written, "cluster-launcher.yaml"))
    validate_config(config)
    assert config["max_workers"] == 2
    assert config["docker"]["image"] == "registry.example.org/roamrl:7"
    starts = [line for line in (*config["head_start_ray_commands"], *config["worker_start_ray_commands"])]
    assert all("RAY_AUTH_MODE=token" in line for line in starts if "ray start" in line)


def test_the_image_has_the_versions_and_the_code_that_are_here(written: Path) -> None:
    pins = dict(line.split("==") for line in (written / "requirements.txt").read_text().split())
    assert pins["ray[default,rllib,tune]"] == version("ray")
    assert pins["torch"] == version("torch").partition("+")[0]
    (wheel,) = written.glob("roamrl-*.whl")
    assert "roamrl/platform/__main__.py" in zipfile.ZipFile(wheel).namelist()
    dockerfile = (written / "Dockerfile").read_text()
    assert f"rayproject/ray:{version('ray')}-py3" in dockerfile


def test_files_that_are_there_are_not_overwritten(written: Path) -> None:
    before = (written / "rayjob.yaml").read_bytes()
    with pytest.raises(ClusterError, match=r"rayjob\.yaml"):
        write_manifests(written, ManifestOptions())
    assert (written / "rayjob.yaml").read_bytes() == before


@pytest.mark.parametrize(
    "options",
    [
        ManifestOptions(image="roamrl:latest\n    privileged: true"),
        ManifestOptions(storage_class="nfs\n  evil: 1"),
        ManifestOptions(cpus=0),
    ],
)
def test_an_option_that_cannot_stand_in_a_manifest_is_an_error(options: ManifestOptions, tmp_path: Path) -> None:
    with pytest.raises(ClusterError):
        write_manifests(tmp_path, options)
    assert list(tmp_path.iterdir()) == []
