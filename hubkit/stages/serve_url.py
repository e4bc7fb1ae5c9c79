"""Throughput and latency of a server that runs somewhere: Triton, or any of KServe v2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubkit.errors import HubkitError, ModelError
from hubkit.formats_records import Level, ServingCurve, ServingPlan
from hubkit.records import Encoded, Record
from hubkit.serving.client import Client, ModelInfo, TensorInfo, path_of, request_bytes
from hubkit.serving.codec import encode_request
from hubkit.serving.load_process import LoadProcess
from hubkit.serving.load_worker import LoadCall, write_requests
from hubkit.serving.workload import mean_tokens, requests
from hubkit.stage import Context, stage
from hubkit.stages.serve_load import open_rate, steps_of
from hubkit.stages.serving_worker import read_sentences

if TYPE_CHECKING:
    from hubkit.serving.batching import Inputs
    from hubkit.serving.tensors import Array

_NUMPY = {"INT64": "int64", "INT32": "int32", "BOOL": "bool", "FP32": "float32", "FP16": "float16"}


class ServeUrlInput(Record):
    """Where the server is, http://HOST:PORT, and the name of the model there. `pid`: of the
    server, where it is a process of this machine whose CPU and memory are wanted."""

    url: str
    model: str
    encoded: Encoded
    plan: ServingPlan
    pid: int | None = None


@stage("serve-url", version=1, kind="effect", takes=ServeUrlInput, gives=ServingCurve)
def serve_url(given: ServeUrlInput, ctx: Context) -> ServingCurve:
    """The levels of the plan, against a server of the Open Inference Protocol over HTTP.

    Which inputs the model takes, in which data types, the server tells; tensors go as binary data
    where it has that extension, as Triton does. Nothing is kept: the server is not ours. Raises
    HubkitError where it is away or only fails, ModelError for inputs that no text has.
    """
    client = Client(given.url)
    try:
        server, info = client.server(), client.model(given.model)
        sentences = read_sentences(
            ctx.store.path(given.encoded.artifact) / "encoded.npz", given.encoded.pad_id
        )
        made = requests(sentences, given.plan)
        binary = _takes_binary(client, info, made[0])
    finally:
        client.close()
    path = f"{path_of(given.model)}/infer"
    bodies = [encode_request(tensors_of(info, one), binary=binary) for one in made]
    file = ctx.scratch / "requests.bin"
    write_requests(file, [request_bytes(client.host, client.port, path, one) for one in bodies])
    call = LoadCall(
        host=client.host, port=client.port, requests=str(file), plan=given.plan, pid=given.pid
    )
    return ServingCurve(
        engine=f"{server.split(' ')[0] or 'server'}-{given.model}",
        where="kserve-v2",
        server=server or None,
        batch_size=given.plan.batch_size,
        mean_tokens=mean_tokens(made),
        levels=tuple(_levels(call, ctx)),
    )


def _levels(call: LoadCall, ctx: Context) -> list[Level]:
    levels: list[Level] = []
    steps = steps_of(call.plan)
    with LoadProcess() as process:
        for clients, share in steps:
            ctx.progress("measuring", len(levels), len(steps))
            rate = None if share is None else open_rate(levels, share, call.plan.batch_size)
            update = {"concurrency": clients, "rate_per_s": rate}
            levels.append(process.level(call.model_copy(update=update)))
        ctx.progress("measuring", len(levels), len(steps))
    return levels


def _takes_binary(client: Client, info: ModelInfo, inputs: Inputs) -> bool:
    """Whether an inference works with tensors as binary data; else it must work in JSON."""
    tensors = tensors_of(info, inputs)
    try:
        client.infer(info.name, tensors, binary=True)
    except HubkitError:
        client.infer(info.name, tensors, binary=False)  # its own error is the one to be told
        return False
    return True


def tensors_of(info: ModelInfo, inputs: Inputs) -> dict[str, Array]:
    """The tensors of one request as a server's model takes them: in its data types, and padded to
    its length where that is fixed. Raises ModelError for an input that no text has."""
    return {one.name: _tensor(one, inputs, info.name) for one in info.inputs}


def _tensor(one: TensorInfo, inputs: Inputs, model: str) -> Array:
    import numpy as np

    if one.name not in inputs or one.datatype not in _NUMPY:
        raise ModelError(
            f"{model} takes {one.name} ({one.datatype}), which cannot be made of a sentence",
            hint=f"Serve it with inputs named {', '.join(inputs)}.",
        )
    array = inputs[one.name].astype(_NUMPY[one.datatype])
    length = one.shape[-1] if one.shape else -1
    if length > 0 and length != array.shape[1]:
        if length < array.shape[1]:
            return array[:, :length]
        return np.pad(array, ((0, 0), (0, length - array.shape[1])))
    return array
