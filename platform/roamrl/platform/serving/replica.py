"""The service in a replica of Ray Serve: body limit, metrics, JSON over HTTP."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from http import HTTPStatus

from ray.util.metrics import Counter, Histogram
from starlette.requests import Request
from starlette.responses import Response

from roamrl.platform.serving.published import Published
from roamrl.platform.serving.request_body import MOST_BYTES
from roamrl.platform.serving.service import Answer, Service

_LOG = logging.getLogger("ray.serve")
_BOUNDARIES_MS = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1000.0]


class ExpertsReplica:
    """One replica: all experts, each an onnxruntime session on one thread.

    It counts ``roamrl_requests`` (by expert and status) and measures ``roamrl_request_ms``, the time in the replica (by
    expert); errors are the requests whose status is 400 or more.
    """

    def __init__(self, experts: Sequence[Published]) -> None:
        self._service = Service(experts)
        self._requests = Counter("roamrl_requests", "Requests answered.", ("expert", "status"))
        self._time_ms = Histogram("roamrl_request_ms", "Time in the replica, ms.", _BOUNDARIES_MS, ("expert",))

    async def __call__(self, request: Request) -> Response:
        """Answer a request."""
        begun = time.perf_counter()
        answer = await self._answer(request)
        self._requests.inc(tags={"expert": answer.expert, "status": str(answer.status.value)})
        self._time_ms.observe(1e3 * (time.perf_counter() - begun), tags={"expert": answer.expert})
        return Response(answer.encoded(), answer.status.value, dict(answer.headers), "application/json")

    async def _answer(self, request: Request) -> Answer:
        body = await _limited_body(request)
        if body is None:
            message = f"the body is larger than {MOST_BYTES} bytes; ask in smaller batches"
            return Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": message})
        try:
            return self._service.answer(request.method, request.url.path, body)
        except Exception:
            _LOG.exception("a request failed: %s %s", request.method, request.url.path)
            return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "the service failed; its log says why"})


async def _limited_body(request: Request) -> bytes | None:
    """Return the body, None if it is too large."""
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > MOST_BYTES:
        return None
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length > MOST_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)
