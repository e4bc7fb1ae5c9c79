"""A client of the protocol: metadata and single inferences over one kept connection."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from hubkit.errors import HubkitError, UsageError
from hubkit.serving.codec import JSON_LENGTH, Answer, Body, decode_answer, encode_request
from hubkit.serving.refusal import Refusal

if TYPE_CHECKING:
    from hubkit.serving.tensors import Array

_PATIENCE_S = 30.0


@dataclass(frozen=True)
class TensorInfo:
    """A model's input or output; -1 in its shape: any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ModelInfo:
    """What a server says of a model."""

    name: str
    platform: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


class Client:
    """Speaks to `url`, http://HOST:PORT. Raises HubkitError where the server is away or refuses."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme != "http" or not parts.hostname or parts.path.strip("/"):
            raise UsageError(
                f"{url} is no address of a server",
                hint="Give http://HOST:PORT. HTTPS is not spoken: measure on the server's side of"
                " what ends it, whose time would be counted too.",
            )
        try:
            self.host, self.port = parts.hostname, parts.port or 80
        except ValueError:
            raise UsageError(f"{url}: the port is no number from 0 to 65535") from None
        self._connection = http.client.HTTPConnection(self.host, self.port, timeout=_PATIENCE_S)

    def server(self) -> str:
        """What the server calls itself: name and version."""
        found = self._get("/v2")
        return f"{found.get('name', '')} {found.get('version', '')}".strip()

    def model(self, name: str, version: str | None = None) -> ModelInfo:
        """What the server says of a model."""
        found = self._get(path_of(name, version))
        try:
            return ModelInfo(
                name=str(found["name"]),
                platform=str(found.get("platform", "")),
                inputs=_tensors(found["inputs"]),
                outputs=_tensors(found["outputs"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise HubkitError(
                f"{self.host}:{self.port}: the metadata of {name} is not of the protocol: {error}"
            ) from error

    def infer(
        self,
        model: str,
        inputs: Mapping[str, Array],
        *,
        outputs: Sequence[str] = (),
        binary: bool = True,
    ) -> Answer:
        """One inference."""
        body = encode_request(inputs, outputs=outputs, binary=binary)
        status, data, length = self._call("POST", f"{path_of(model)}/infer", body)
        if status != 200:
            raise HubkitError(f"{model}: {status}: {_said(data)}")
        try:
            return decode_answer(data, length)
        except Refusal as refusal:
            raise HubkitError(f"{model}: no answer of the protocol: {refusal.message}") from None

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _get(self, path: str) -> dict[str, object]:
        status, data, _ = self._call("GET", path, None)
        if status != 200:
            raise HubkitError(
                f"{self.host}:{self.port}{path}: {status}: {_said(data)}",
                hint="Name a model that the server has: --model." if status == 404 else "",
            )
        try:
            found = json.loads(data)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise HubkitError(
                f"{self.host}:{self.port}{path} is not of the Open Inference Protocol",
                hint="Give the HTTP address of a KServe v2 server, such as Triton's port 8000.",
            )
        return found

    def _call(self, method: str, path: str, body: Body | None) -> tuple[int, bytes, int | None]:
        try:
            self._connection.request(
                method, path, body.data if body else None, body.headers() if body else {}
            )
            answer = self._connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise HubkitError(
                f"{self.host}:{self.port} does not answer: {error}",
                hint="Is the server running there?",
            ) from error
        length = answer.getheader(JSON_LENGTH)
        return answer.status, data, int(length) if length and length.isdigit() else None


def path_of(model: str, version: str | None = None) -> str:
    """The path of a model."""
    path = f"/v2/models/{quote(model, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path


def request_bytes(host: str, port: int, path: str, body: Body) -> bytes:
    """A whole POST request, as it goes over the wire."""
    name = f"[{host}]" if ":" in host else host
    lines = [f"POST {path} HTTP/1.1", f"Host: {name}:{port}"]
    lines += [f"{key}: {value}" for key, value in body.headers().items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body.data


def _tensors(value: object) -> tuple[TensorInfo, ...]:
    if not isinstance(value, list):
        raise TypeError("inputs and outputs must be arrays")
    return tuple(
        TensorInfo(str(one["name"]), str(one["datatype"]), tuple(int(n) for n in one["shape"]))
        for one in value
    )


def _said(data: bytes) -> str:
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    said = found.get("error") if isinstance(found, dict) else None
    return str(said if said is not None else data[:200].decode("utf-8", "replace"))[:500]
