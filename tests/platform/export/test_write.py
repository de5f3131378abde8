from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from gymnasium import spaces
from typer.testing import CliRunner

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.space_codec import space_from_json
from roamrl.envs.errors import InputError
from roamrl.platform import optional_packages
from roamrl.platform.cli.main import app
from roamrl.platform.export import policy_model
from roamrl.platform.export.actions import add_actions
from roamrl.platform.export.interface import interface_of
from roamrl.platform.export.runtime import OnnxPolicy
from roamrl.platform.export.write import write_onnx
from roamrl.platform.store.expert import Expert
from roamrl.platform.store.manifest import ManifestFields
from roamrl.platform.store.store import ExpertStore

CONFIG = {"prbs": 60}


@pytest.fixture
def store(tmp_path: Path) -> ExpertStore:
    return ExpertStore.init(tmp_path / "store")


@pytest.fixture
def publish(store: ExpertStore, specs: dict[str, ModuleSpec], make_policy: Callable) -> Callable[..., Expert]:
    def published(name: str = "mlp-tanh-discrete") -> Expert:
        fields = ManifestFields(family="slicing-v1", config=CONFIG, strategy="scratch", env_steps=1, seed=0)
        return store.get(store.publish(make_policy(specs[name]), fields))

    return published


@pytest.fixture
def command(store: ExpertStore) -> Callable[..., tuple[int, str]]:
    def run(*arguments: object) -> tuple[int, str]:
        answer = CliRunner().invoke(app, ["export", *map(str, arguments), "--store", store.location])
        return answer.exit_code, answer.output

    return run


def test_the_model_says_whose_policy_it_is(publish: Callable, tmp_path: Path) -> None:
    expert = publish("latent-box")
    file = tmp_path / "policy.onnx"
    written = write_onnx(expert, file)
    assert file.read_bytes() == written.model and written.difference < 1e-4
    said = OnnxPolicy(file.read_bytes()).metadata
    assert (said["id"], said["family"], json.loads(said["config"])) == (expert.id, "slicing-v1", CONFIG)
    spec = expert.bundle().spec
    assert space_from_json(json.loads(said["observation_space"])) == spec.observation_space
    assert space_from_json(json.loads(said["action_space"])) == spec.action_space
    assert said["trial_episodes"] == "4"
    names = {way: [port["name"] for port in ports] for way, ports in json.loads(said["interface"]).items()}
    model = onnx.load(file)
    assert names["inputs"] == [value.name for value in model.graph.input]
    assert names["outputs"] == [value.name for value in model.graph.output]
    assert model.opset_import[0].version == 17
    assert all(value.type.tensor_type.shape.dim[0].dim_param == "batch" for value in model.graph.input)


def test_exporting_twice_gives_the_same_bytes(publish: Callable, tmp_path: Path) -> None:
    expert = publish()
    first, second = (write_onnx(expert, tmp_path / name) for name in ("a.onnx", "b.onnx"))
    assert first.model == second.model


def test_command_writes_a_model_and_says_what_it_reads(publish: Callable, tmp_path: Path, command: Callable) -> None:
    expert, file = publish(), tmp_path / "policy.onnx"
    code, output = command(expert.id[:8], "--onnx", file)
    assert code == 0
    assert [word for word in ("observation", "logits", "action", str(file)) if word not in output] == []
    obs = np.ones((1, 5), np.float32)
    found = OnnxPolicy(file.read_bytes()).step({"observation": obs})
    assert found["action"][0] == expert.act(obs)[0]


def test_a_file_that_is_there_needs_force(publish: Callable, tmp_path: Path, command: Callable) -> None:
    expert, file = publish(), tmp_path / "policy.onnx"
    file.write_text("mine")
    code, output = command(expert.id, "--onnx", file)
    assert code == 2 and "--force" in output and file.read_text() == "mine"
    assert command(expert.id, "--onnx", file, "--force")[0] == 0
    assert onnx.load(file).graph.input[0].name == "observation"


@pytest.mark.parametrize(
    ("reference", "file", "said"),
    [
        ("nobody", "policy.onnx", "no expert has the tag"),
        ("", "missing/policy.onnx", "there is no folder"),
        ("", ".", "is a folder"),
    ],
)
def test_mistakes_are_told(
    publish: Callable, tmp_path: Path, command: Callable, reference: str, file: str, said: str
) -> None:
    expert = publish()
    code, output = command(reference or expert.id, "--onnx", tmp_path / file)
    assert code == 2 and said in output
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_model_that_is_not_the_policy_is_not_written(
    publish: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(graph, spec, arrays) -> None:
        add_actions(graph, spec, arrays, graph.split("observation", [4, 1])[0])

    monkeypatch.setattr(policy_model, "KINDS", {"mlp": wrong})
    with pytest.raises(InputError, match="differs from the torch policy"):
        write_onnx(publish(), tmp_path / "policy.onnx")
    with pytest.raises(InputError, match=r"unknown module kind that can be exported 'gru': .*mlp"):
        write_onnx(publish("gru-box"), tmp_path / "policy.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_spaces_without_an_output_are_refused() -> None:
    space = spaces.Box(0.0, 1.0, (3,), np.float32)
    with pytest.raises(InputError, match=r"MultiDiscrete.*known: Discrete, MultiBinary, Box of floats"):
        interface_of(ModuleSpec("mlp", space, spaces.MultiDiscrete([2, 3])), 0)
    with pytest.raises(InputError, match="policies on Box observations"):
        interface_of(ModuleSpec("mlp", spaces.Dict(a=space), spaces.Discrete(2)), 0)


def test_a_missing_package_is_named_with_its_extra(
    publish: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optional_packages, "find_spec", lambda name: None if name == "onnxruntime" else object())
    with pytest.raises(InputError, match=r"onnxruntime is not installed.*pip install 'roamrl\[onnx\]'"):
        write_onnx(publish(), tmp_path / "policy.onnx")


def test_strangers_are_no_policies() -> None:
    with pytest.raises(InputError, match="cannot load the model"):
        OnnxPolicy(b"no model")
