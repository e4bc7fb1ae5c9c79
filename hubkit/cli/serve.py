"""`hubkit serve`: a model over the Open Inference Protocol, with dynamic batching."""

from __future__ import annotations

import shlex
from typing import Annotated, Optional

import typer

from hubkit.cli.options import Demo, Endpoint
from hubkit.errors import UsageError
from hubkit.output import Steps, output

_ENGINES = ("onnxruntime", "openvino")


def serve(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE|FOLDER|REPO_ID",
            help="A recipe, whose published variant is served, a model folder, or USER/NAME.",
            show_default=False,
        ),
    ],
    demo: Demo = False,
    engine: Annotated[
        str, typer.Option(metavar="|".join(_ENGINES), help="What runs the model.")
    ] = "onnxruntime",
    variant: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="NAME", help="Serve this variant, not the published one.", show_default=False
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; only this machine reaches the default.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    instances: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            metavar="N",
            min=1,
            max=256,
            help="Copies of the model that run side by side; default: one a core.",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            metavar="N",
            min=1,
            max=1024,
            help="Threads of each instance; default: the cores divided by the instances.",
            show_default=False,
        ),
    ] = None,
    max_batch: Annotated[
        int, typer.Option(metavar="N", min=1, max=1024, help="Rows in one call; 1: no batching.")
    ] = 8,
    max_delay_ms: Annotated[
        float,
        typer.Option(
            metavar="MS", min=0, max=10_000, help="How long a call waits for its batch to fill."
        ),
    ] = 0.0,
    max_queue: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Requests that may wait; one more is answered 503."),
    ] = 256,
    max_body_mb: Annotated[
        float, typer.Option(metavar="MB", min=0.01, max=1024, help="Size of a request.")
    ] = 4.0,
    revision: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="REV",
            help="Branch, tag or commit of USER/NAME; default: main.",
            show_default=False,
        ),
    ] = None,
    endpoint: Endpoint = None,
) -> None:
    """Serve a model to any client of KServe v2, as Triton does, until Ctrl-C or SIGTERM.

    Requests that wait are run together, those of like length first; what is in flight at the end is
    still answered.
    """
    if engine not in _ENGINES:
        raise UsageError(f"--engine {engine}: not an engine", hint=f"Use {' or '.join(_ENGINES)}.")
    from importlib.metadata import version

    from hubkit.deps import require
    from hubkit.formats_records import ServingConfig
    from hubkit.machine import default_threads
    from hubkit.serving.messages import Limits
    from hubkit.serving.server import listening
    from hubkit.serving.server import serve as serve_here
    from hubkit.serving_target import find_model
    from hubkit.stages.serving_model import load_served

    require("httptools", extra="serve")
    sock = listening(host, port)  # a port that is taken is told before hours go by
    cores = default_threads()
    count = instances or max(1, cores // (threads or 1))
    config = ServingConfig(
        instances=count,
        threads=threads or max(1, cores // count),
        max_batch=max_batch,
        max_delay_us=round(max_delay_ms * 1000),
    )
    with output().steps() as steps:
        found = find_model(
            target,
            runtime="openvino" if engine == "openvino" else "onnxruntime",
            variant=variant,
            demo=demo,
            endpoint=endpoint,
            revision=revision,
            listener=_Measuring(steps),
        )
    if found.note:
        output().warn(found.note)
    served, pool = load_served(found.files, found.engine, config, max_queue)

    def started(url: str) -> None:
        said = output()
        said.info(f"serving {served.name} at {url}")
        said.info(
            f"  {config.instances} × {config.threads} threads of {engine}, batches of up to"
            f" {config.max_batch}"
        )
        said.info(f"  {curl_line(url, served.name, text=served.tokenize is not None)}")

    serve_here(
        served,
        pool,
        sock,
        version=version("hubkit"),
        limits=Limits(body_bytes=round(max_body_mb * 1e6)),
        started=started,
    )
    output().info(f"stopped after {pool.taken} requests in {pool.calls} calls")


class _Measuring:
    """Says why it takes minutes, once that begins."""

    def __init__(self, steps: Steps) -> None:
        self._steps, self._said = steps, False

    def update(self, name: str, what: str = "", done: int = 0, total: int = 0) -> None:
        if name.startswith("benchmark") and not self._said:
            self._said = True
            output().info(
                "measuring the variants, once, to know which is published; --variant NAME serves"
                " one without that"
            )
        self._steps.update(name, what, done, total)

    def done(self, name: str, seconds: float | None) -> None:
        self._steps.done(name, seconds)

    def failed(self, name: str) -> None:
        self._steps.failed(name)


def curl_line(url: str, model: str, *, text: bool) -> str:
    """A command that asks the server something."""
    from urllib.parse import quote

    address = f"{url}/v2/models/{quote(model, safe='')}"
    if not text:
        return f"curl {shlex.quote(address)}"
    body = (
        '{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES",'
        ' "data": ["a charming and clever comedy"]}]}'
    )
    return f"curl {shlex.quote(address + '/infer')} -d {shlex.quote(body)}"
