"""The service, without its transport: from method, path and body to status and JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import numpy as np

from roamrl.algorithms.space_codec import space_from_json
from roamrl.platform.export import interface as ports
from roamrl.platform.export.runtime import OnnxPolicy
from roamrl.platform.serving.published import Published
from roamrl.platform.serving.refusals import Refusal
from roamrl.platform.serving.request_body import MEMORY, STATE, RequestReader

ROUTES = ("GET /health", "GET /experts", "POST /experts/{id-or-tag}/act")
NOBODY = "-"
"""What stands for an expert in metrics where a request names none that is served."""

_ACT = re.compile(r"/experts/([^/]+)/act")


@dataclass(frozen=True)
class Answer:
    """What is sent back.

    Attributes:
        status: HTTP status.
        body: JSON.
        expert: First digits of the expert's id that was asked; ``-`` for none.
        headers: HTTP headers besides.
    """

    status: HTTPStatus
    body: Mapping[str, Any]
    expert: str = NOBODY
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """Return the body as JSON text."""
        return json.dumps(self.body, allow_nan=False).encode()


class ServedExpert:
    """One expert that answers requests.

    Attributes:
        id: Its id.
        names: Names it answers to beside its id.
    """

    def __init__(self, published: Published) -> None:
        self._policy = OnnxPolicy(published.model)
        said = self._policy.metadata
        self.id: str = said["id"]
        self.names = published.names
        self._spaces = {way: json.loads(said[f"{way}_space"]) for way in ("observation", "action")}
        observations, actions = (space_from_json(space) for space in self._spaces.values())
        self._reader = RequestReader(self._policy.interface, observations, actions)  # type: ignore[arg-type]

    @property
    def short(self) -> str:
        """The id's first twelve digits."""
        return self.id[:12]

    def act(self, body: bytes) -> dict[str, Any]:
        """Return the answer to a request for actions: action, the distribution's parameters, state.

        Raises:
            Refusal: If the request cannot be answered.
        """
        request = self._reader.read(body)
        outputs = self._policy.step(request.inputs)
        plain = {
            name: (values if request.batch else values[0]).tolist()
            for name, values in outputs.items()
            if _finite(values)
        }
        if len(plain) < len(outputs):
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "the numbers given are so large that the policy overflows")
        memory = plain.pop(ports.STATE_OUT, None)
        return {"expert": self.id, **plain, **({} if memory is None else {STATE: {MEMORY: memory}})}

    def about(self) -> dict[str, Any]:
        """Return what ``GET /experts`` says of it."""
        said = self._policy.metadata
        return {
            "id": self.id,
            "names": list(self.names),
            "family": said["family"],
            "strategy": said["strategy"],
            "module_kind": said["module_kind"],
            "trial_episodes": int(said["trial_episodes"]),
            "observation_space": self._spaces["observation"],
            "action_space": self._spaces["action"],
            **self._policy.interface,
        }


class Service:
    """All experts that are served."""

    def __init__(self, experts: Sequence[Published]) -> None:
        self._experts = [ServedExpert(expert) for expert in experts]
        self._named = {name: expert for expert in self._experts for name in (expert.id, *expert.names)}

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Answer a request; whatever is wrong with it becomes a 4xx with ``{"error": message}``."""
        asked = _ACT.fullmatch(path)
        expert = NOBODY
        try:
            if asked is None:
                return self._answer_get(method, path)
            _check_method(method, "POST")
            found = self._expert(asked[1])
            expert = found.short
            return Answer(HTTPStatus.OK, found.act(body), expert)
        except Refusal as refusal:
            allow = "POST" if asked else "GET"
            headers = {"Allow": allow} if refusal.status == HTTPStatus.METHOD_NOT_ALLOWED else {}
            return Answer(refusal.status, {"error": refusal.message}, expert, headers)

    def _answer_get(self, method: str, path: str) -> Answer:
        if path not in ("/health", "/experts"):
            raise Refusal(HTTPStatus.NOT_FOUND, f"there is nothing at {path}; known: {', '.join(ROUTES)}")
        _check_method(method, "GET")
        if path == "/health":
            return Answer(HTTPStatus.OK, {"status": "ok", "experts": len(self._experts)})
        return Answer(HTTPStatus.OK, {"experts": [expert.about() for expert in self._experts]})

    def _expert(self, name: str) -> ServedExpert:
        if name not in self._named:
            served = ", ".join(name for expert in self._experts for name in expert.names)
            raise Refusal(HTTPStatus.NOT_FOUND, f"no expert {name[:80]!r} is served here; served: {served}")
        return self._named[name]


def _check_method(method: str, wanted: str) -> None:
    if method != wanted:
        raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"use {wanted} here, not {method}")


def _finite(values: Any) -> bool:
    return bool(np.isfinite(values).all())
