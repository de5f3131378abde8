"""The wheel that goes with jobs: whole, without dependencies, one for one content."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from roamrl.cluster.errors import ClusterError
from roamrl.cluster.wheel import job_wheel

WHERE = """
import json
from importlib.metadata import distribution, entry_points
import roamrl.envs, roamrl.cluster, roamrl.platform
print(json.dumps({
    "files": [roamrl.envs.__file__, roamrl.cluster.__file__, roamrl.platform.__file__],
    "version": distribution("roamrl").version,
    "requires": distribution("roamrl").requires,
    "families": [point.name for point in entry_points(group="roamrl.families")],
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return job_wheel(folder=tmp_path_factory.mktemp("wheels"))


def test_it_installs_as_ray_does_and_fetches_nothing(wheel: Path, tmp_path: Path) -> None:
    """With ``--no-index`` one dependency would be an error."""
    target = tmp_path / "installed"
    command = [sys.executable, "-m", "pip", "install", "--no-index", "--quiet", str(wheel), f"--target={target}"]
    subprocess.run(command, check=True, timeout=120)
    run = [sys.executable, "-c", WHERE]
    done = subprocess.run(run, env={"PYTHONPATH": str(target)}, check=True, capture_output=True, text=True, cwd="/")
    facts = json.loads(done.stdout)
    assert all(Path(file).is_relative_to(target) for file in facts["files"])
    assert facts["requires"] is None
    assert f"roamrl-{facts['version']}-py3-none-any.whl" == wheel.name
    assert "slicing-v1" in facts["families"]


def test_it_holds_data_and_no_leftovers(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "roamrl/platform/studies/quick.yaml" in names
    assert "roamrl/envs/slicing/splits.json" in names
    assert "roamrl/cluster/kubernetes/templates/raycluster.yaml.j2" in names
    assert [name for name in names if "__pycache__" in name or name.endswith(".pyc")] == []
    assert [name for name in names if name.startswith("roamrl/") and name.endswith("/__init__.py")]
    assert "roamrl/__init__.py" not in names


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution installed as copies, not in place."""
    site = tmp_path / "site"
    (site / "carried").mkdir(parents=True)
    (site / "carried" / "__init__.py").write_text("answer = 41\n")
    info = site / "carried-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: carried\nVersion: 1.2\nRequires-Dist: nowhere-to-be-found\n\nWords: kept\n"
    )
    (info / "entry_points.txt").write_text("[carried.things]\nthing = carried:answer\n")
    monkeypatch.syspath_prepend(str(site))
    yield site
    sys.modules.pop("carried", None)


def test_an_installed_copy_does_as_well(copied: Path, tmp_path: Path) -> None:
    archive = zipfile.ZipFile(job_wheel("carried", tmp_path / "wheels"))
    (info,) = {name.partition("/")[0] for name in archive.namelist() if "dist-info" in name}
    assert archive.read("carried/__init__.py") == b"answer = 41\n"
    metadata = archive.read(f"{info}/METADATA").decode()
    assert "nowhere-to-be-found" not in metadata
    assert metadata.endswith("Words: kept\n")
    assert b"carried:answer" in archive.read(f"{info}/entry_points.txt")


def test_one_content_is_one_wheel_and_another_content_another(copied: Path, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    first = job_wheel("carried", wheels)
    made, content = first.stat().st_mtime_ns, first.read_bytes()
    assert job_wheel("carried", wheels) == first
    assert first.stat().st_mtime_ns == made
    first.unlink()
    assert job_wheel("carried", wheels).read_bytes() == content
    (copied / "carried" / "__init__.py").write_text("answer = 42\n")
    second = job_wheel("carried", wheels)
    assert second != first
    assert sorted(wheels.iterdir()) == sorted([first, second])


def test_what_is_not_installed_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="no-such-thing"):
        job_wheel("no-such-thing", tmp_path)


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ClusterError, match="file"):
        job_wheel(folder=tmp_path / "file")
