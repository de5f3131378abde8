"""What is asked and what is answered, without a network between."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from roamrl.envs.errors import InputError
from roamrl.platform.serving import request_body
from roamrl.platform.serving.published import published_experts
from roamrl.platform.serving.service import Service
from roamrl.platform.store.store import ExpertStore

Ask = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def ask(store: ExpertStore, publish: Callable) -> Ask:
    """Ask an expert that was published by name; the body is JSON, or bytes as they are."""
    services: dict[str, Service] = {}

    def answer(name: str, body: Any, method: str = "POST") -> tuple[int, dict[str, Any]]:
        if name not in services:
            publish(name)
            services[name] = Service(published_experts(store, [name]))
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        said = services[name].answer(method, f"/experts/{name}/act", data)
        return said.status.value, json.loads(said.encoded())

    return answer


def test_one_observation_and_a_batch(ask: Ask, store: ExpertStore) -> None:
    rows = [[1e6, 0.0, -1.0], [0.0, 5.0, 1.0], [-3.0, 2.5, 0.0]]
    status, batch = ask("plain", {"observation": rows})
    expert = store.get("plain")
    assert (status, batch["expert"]) == (200, expert.id)
    assert batch["action"] == expert.act(rows).tolist()
    assert set(batch["action"]) <= {1, 2, 3} and len(set(batch["action"])) > 1
    for row, action, logits in zip(rows, batch["action"], batch["logits"], strict=True):
        status, single = ask("plain", {"observation": row})
        assert (status, single["action"]) == (200, action)
        np.testing.assert_allclose(single["logits"], logits, rtol=1e-5, atol=1e-6)


def test_actions_lie_in_their_box(ask: Ask, store: ExpertStore) -> None:
    rows = np.random.default_rng(0).uniform(-1, 1, (50, 3)).clip([-9, 0, -1]).astype(np.float32)
    status, answer = ask("box", {"observation": rows.tolist()})
    actions = np.array(answer["action"])
    assert status == 200 and set(answer) == {"expert", "action", "mean", "log_std"}
    assert (np.abs(actions) == 0.5).any() and (np.abs(actions) < 0.5).any()
    np.testing.assert_allclose(actions, store.get("box").act(rows), atol=1e-4)


@pytest.mark.parametrize("name", ["memory", "trials"])
def test_state_goes_out_and_comes_back(ask: Ask, store: ExpertStore, name: str) -> None:
    rng, given = np.random.default_rng(1), {}
    ask(name, {"observation": [0, 0, 0]})
    session = store.get(name).session(1)
    for step in range(6):
        obs = np.array([rng.normal(), rng.uniform(0, 5), rng.uniform(-1, 1)], np.float32)
        status, answer = ask(name, {"observation": obs.tolist(), **given})
        assert status == 200
        assert answer["action"] == session.act(obs[None, None])[0, 0]
        reward, ended = float(rng.normal()), step == 3
        session.after(np.array([[reward]]), np.array([[ended]]))
        session.next_episode()
        given = {"state": answer["state"]}
        if name == "trials":
            given |= {"last_action": answer["action"], "last_reward": reward, "episode_ended": ended}


def test_state_matters(ask: Ask) -> None:
    first = ask("memory", {"observation": [1, 1, 1]})[1]
    again = ask("memory", {"observation": [1, 1, 1], "state": first["state"]})[1]
    assert again["logits"] != first["logits"]
    assert ask("memory", {"observation": [1, 1, 1], "state": {"memory": [0] * 4}})[1] == first


def test_any_number_of_entities_up_to_the_familys(ask: Ask) -> None:
    status, answer = ask("cells", {"observation": [[1, 2, 3], [0, 0, 0]]})
    assert status == 200 and len(answer["action"]) == 2 and answer["logits"][1] == -1e4
    status, answer = ask("cells", {"observation": [[1, 2, 3]] * 5})
    assert status == 422 and "at most 4" in answer["error"]


def test_tasks_have_to_be_named(ask: Ask) -> None:
    assert ask("tasks", {"observation": [0, 0, 0]}) == (422, {"error": "the request lacks task_number"})
    first, second = (ask("tasks", {"observation": [0, 1, 1], "task_number": task})[1]["logits"] for task in (0, 1))
    mean = ask("tasks", {"observation": [0, 1, 1], "task_number": -1})[1]["logits"]
    assert first != second
    np.testing.assert_allclose(mean, np.mean([first, second], axis=0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "body", "status", "said"),
    [
        ("plain", b"{", 400, "is no JSON"),
        ("plain", b"\xff", 400, "is no JSON"),
        ("plain", b"[" * 100_000, 400, "nested too deep"),
        ("plain", b'{"observation": [NaN, 0, 0]}', 400, "NaN is no JSON number"),
        ("plain", [1, 2, 3], 400, "no JSON object"),
        ("plain", {}, 422, "the request lacks observation"),
        ("plain", {"observations": [1, 2, 3]}, 422, "did you mean 'observation'"),
        ("plain", {"observation": [1, 2]}, 422, "has the shape [2]; expected [3], or [N, 3]"),
        ("plain", {"observation": 1}, 422, "has the shape []; expected [3]"),
        ("plain", {"observation": []}, 422, "has the shape [0]; expected [3]"),
        ("plain", {"observation": [[1, 2, 3], [1, 2]]}, 422, "ragged"),
        ("plain", {"observation": ["1", "2", "3"]}, 422, "not numbers; expected float32"),
        ("plain", {"observation": [True, False, True]}, 422, "not numbers"),
        ("plain", {"observation": None}, 422, "not numbers"),
        ("plain", {"observation": {"a": 1}}, 422, "not numbers"),
        ("plain", b'{"observation": [1e999, 0, 0]}', 422, "not finite"),
        ("plain", {"observation": [1e300, 0, 0]}, 422, "beyond float32"),
        (
            "plain",
            {"observation": [0, 7.5, 0]},
            422,
            "observation[1] is 7.5 in row 0, outside its space's bounds [0.0, 5",
        ),
        ("plain", {"observation": [[0, 1, 0], [0, 1, -2]]}, 422, "observation[2] is -2.0 in row 1"),
        ("plain", {"observation": [0, 0, 0], "state": {"memory": [0]}}, 422, "unknown key of the request 'state'"),
        ("memory", {"observation": [0, 0, 0], "state": [0, 0, 0, 0]}, 422, 'state is {"memory": [..]}'),
        ("memory", {"observation": [0, 0, 0], "state": {"memory": [0]}}, 422, "state has the shape [1]; expected [4]"),
        ("memory", {"observation": [[0, 0, 0]] * 2, "state": {"memory": [[0] * 4]}}, 422, "[2, 4] for a batch"),
        (
            "trials",
            {"observation": [0, 0, 0], "last_reward": 1},
            422,
            "lacks last_action, episode_ended, state; at the",
        ),
        ("tasks", {"observation": [0, 0, 0], "task_number": 0.5}, 422, "not whole numbers; expected int64"),
        ("tasks", {"observation": [0, 0, 0], "task_number": 2**80}, 422, "task_number"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_expected(
    ask: Ask, name: str, body: Any, status: int, said: str
) -> None:
    answer = ask(name, body)
    assert answer[0] == status and said in answer[1]["error"]


def test_last_actions_are_actions_or_none(ask: Ask) -> None:
    state = {"memory": [0.0] * 4}
    given = {"observation": [0, 0, 0], "state": state, "last_reward": 0.0, "episode_ended": False}
    assert ask("trials", {**given, "last_action": -1})[1] == ask("trials", {"observation": [0, 0, 0]})[1]
    assert ask("trials", {**given, "last_action": 2})[0] == 200
    status, answer = ask("trials", {**given, "last_action": 3})
    assert status == 422 and "last_action is 3 in row 0, outside its space's bounds [0, 2]" in answer["error"]
    assert ask("trials", {**given, "last_action": 0, "episode_ended": 1})[0] == 422


def test_batches_are_bounded(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "MOST_ROWS", 3)
    assert ask("plain", {"observation": [[0, 0, 0]] * 3})[0] == 200
    assert ask("plain", {"observation": [[0, 0, 0]] * 4}) == (413, {"error": "a batch has at most 3 rows, got 4"})


def test_the_rest_of_the_routes(store: ExpertStore, publish: Callable) -> None:
    plain, memory = publish("plain", "memory")
    service = Service(published_experts(store, ["plain", memory.id, plain.id[:6]]))

    def answer(method: str, path: str) -> tuple[int, dict[str, Any]]:
        said = service.answer(method, path, b"{}")
        return said.status.value, json.loads(said.encoded())

    assert answer("GET", "/health") == (200, {"status": "ok", "experts": 2})
    first, second = answer("GET", "/experts")[1]["experts"]
    assert first["id"] == plain.id and first["names"] == ["plain", plain.id[:6], plain.id[:12]]
    assert second["id"] == memory.id and second["names"] == [memory.id[:12]]
    assert [port["name"] for port in second["inputs"]] == ["observation", "state_in.memory"]
    status, said = answer("POST", "/experts/nobody/act")
    assert status == 404 and "'nobody'" in said["error"] and f"plain, {plain.id[:6]}" in said["error"]
    assert answer("GET", "/nothing")[0] == 404 and answer("POST", "/health")[0] == 405
    refused = service.answer("GET", "/experts/plain/act", b"")
    assert refused.status == 405 and refused.headers == {"Allow": "POST"}


def test_nobody_to_serve(store: ExpertStore) -> None:
    with pytest.raises(InputError, match="at least one expert"):
        published_experts(store, [])
    with pytest.raises(InputError, match="no expert has the tag 'ghost'"):
        published_experts(store, ["ghost"])
