"""The addresses of the protocol: health, metadata, inference."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote

from hubkit.serving.batching import Job
from hubkit.serving.codec import JSON_LENGTH, Inference, decode_request, encode_answer
from hubkit.serving.messages import Reply, Request, refused
from hubkit.serving.pool import Closed, Full, Pool
from hubkit.serving.refusal import Refusal
from hubkit.serving.served import Served

if TYPE_CHECKING:
    from hubkit.serving.batching import Outputs
    from hubkit.serving.codec import Asked

NAME = "hubkit"
_EXTENSIONS = ["binary_tensor_data", "model_configuration"]
_MODEL = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(/ready|/infer|/config)?")
_RETRY_S = 1
Answered = Callable[[Reply], None]


class App:
    """Answers the requests for one model, run by a pool."""

    def __init__(self, served: Served, pool: Pool, version: str) -> None:
        self._served, self._pool, self._version = served, pool, version
        self.ready = True

    def __call__(self, request: Request, answer: Answered) -> None:
        """Answer a request, or have the pool do it. Raises Refusal."""
        fixed = self._fixed(request.path)
        if fixed is not None:
            _only(request, "GET")
            answer(fixed)
            return
        found = _MODEL.fullmatch(request.path)
        if found is None:
            raise Refusal(404, f"there is nothing at {request.path[:200]!r}")
        name, version, what = unquote(found[1]), found[2], found[3]
        if name != self._served.name:
            raise Refusal(404, f"there is no model {name[:200]!r} here, only {self._served.name!r}")
        if version is not None and unquote(version) != self._served.version:
            raise Refusal(
                404, f"{name} has no version {version[:40]!r}, only {self._served.version!r}"
            )
        if what == "/infer":
            _only(request, "POST")
            self._infer(request, answer)
            return
        _only(request, "GET")
        if what == "/ready":
            answer(_json({"name": name, "ready": self.ready}, 200 if self.ready else 503))
        else:
            told = self._served.configuration if what == "/config" else self._served.metadata
            answer(_json(told()))

    def _fixed(self, path: str) -> Reply | None:
        if path in ("/v2", "/v2/"):
            return _json({"name": NAME, "version": self._version, "extensions": _EXTENSIONS})
        if path == "/v2/health/live":
            return _json({"live": True})
        if path == "/v2/health/ready":
            return _json({"ready": self.ready}, 200 if self.ready else 503)
        return None

    def _infer(self, request: Request, answer: Answered) -> None:
        asked = decode_request(request.body, _json_length(request))
        wanted = self._served.outputs_of(asked)
        inputs = self._served.inputs_of(asked)
        loop = asyncio.get_running_loop()
        finish = partial(self._finish, asked, wanted, answer)

        def done(job: Job, result: Outputs | Exception) -> None:
            if not job.cancelled:
                loop.call_soon_threadsafe(finish, result)

        job = Job(inputs, done)
        request.gone = partial(self._pool.cancel, job)
        try:
            self._pool.submit(job)
        except Full:
            raise Refusal(
                503,
                f"{self._pool.waiting} requests wait already; try again",
                retry_after_s=_RETRY_S,
            ) from None
        except Closed:
            raise Refusal(503, "the server stops", retry_after_s=_RETRY_S) from None

    def _finish(
        self,
        asked: Inference,
        wanted: tuple[Asked, ...],
        answer: Answered,
        result: Outputs | Exception,
    ) -> None:
        if isinstance(result, Exception):
            sys.stderr.write(f"hubkit serve: {type(result).__name__}: {result}\n")
            answer(refused(Refusal(500, "the model failed; the server's log says how")))
            return
        document: dict[str, object] = {
            "model_name": self._served.name,
            "model_version": self._served.version,
        }
        if asked.id is not None:
            document["id"] = asked.id
        try:
            outputs = {one.name: result[one.name] for one in wanted}
            body = encode_answer(document, outputs, [one.binary for one in wanted])
        except ValueError:  # NaN and infinity have no JSON
            answer(refused(Refusal(500, "the model gave numbers that are not finite")))
            return
        headers = body.headers()
        del headers["Content-Length"]
        answer(Reply(200, body.data, headers))


def _only(request: Request, method: str) -> None:
    if request.method != method:
        raise Refusal(405, f"{request.path[:200]} takes {method}, not {request.method[:20]}")


def _json_length(request: Request) -> int | None:
    text = request.headers.get(JSON_LENGTH.lower())
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,12}", text):
        raise Refusal(400, f"{JSON_LENGTH} is {text[:40]!r}, and must be a number of bytes")
    return int(text)


def _json(value: dict[str, object], status: int = 200) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})
