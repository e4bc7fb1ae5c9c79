"""`hubkit report formats`: cost, divergence and serving of a model in every format."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hubkit.cli.options import Again, Demo, Endpoint, FormatOption, Target, interruptible
from hubkit.errors import UsageError
from hubkit.output import output

if TYPE_CHECKING:
    from hubkit.formats_pipeline import Reported

app = typer.Typer(
    name="report",
    help="Write reports on a model beyond its card.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _reports() -> None:
    """Write reports on a model beyond its card."""


@app.command(short_help="What a model costs, how its formats differ, and how each serves.")
@interruptible
def formats(
    target: Target,
    into: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Where the report goes; default: NAME-formats here.",
            show_default=False,
        ),
    ] = None,
    lang: Annotated[
        list[str] | None,
        typer.Option(
            "--lang",
            metavar="LANG",
            help="Language of the report; can be given again, the first is README.md's.",
            show_default=False,
        ),
    ] = None,
    concurrency: Annotated[
        str | None,
        typer.Option(
            "--concurrency",
            metavar="LEVELS",
            help="Clients at once: 1:32 (each from 1 to 32), 1:32:4, or 1,2,4,8; default: some of 1"
            " to 32.",
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", metavar="N", help="Sentences in one request.", min=1)
    ] = 1,
    length: Annotated[
        int | None,
        typer.Option(
            "--length",
            metavar="TOKENS",
            help="Tokens of each sentence in serving; default: real sentences as they are.",
            min=1,
            show_default=False,
        ),
    ] = None,
    window: Annotated[
        float | None,
        typer.Option(
            "--window",
            metavar="SECONDS",
            help="Length of a measurement window; three in a row must agree within 10 %.",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(
            "--engine",
            metavar="PATTERN",
            help="Only engines of that name, such as 'onnxruntime-*'; can be given again.",
            show_default=False,
        ),
    ] = None,
    search: Annotated[
        bool,
        typer.Option(
            "--search/--no-search",
            help="Search instances, threads and batching for what serves best.",
        ),
    ] = True,
    p99: Annotated[
        float | None,
        typer.Option(
            "--p99",
            metavar="MS",
            help="What p99 latency may be where the throughput is to be the best.",
            show_default=False,
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            metavar="URL",
            help="Measure this server too: Triton, or any that speaks KServe v2 over HTTP.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="With --url: the model's name there; default: the recipe's.",
            show_default=False,
        ),
    ] = None,
    demo: Demo = False,
    endpoint: Endpoint = None,
    again: Again = None,
    format_: FormatOption = "human",
) -> None:
    """Measure FLOPs by part, how far each format's outputs are from FP32, and how each serves.

    What this machine lacks is in the report with how to get it. What is finished is kept: the same
    command goes on where a killed one was. Writes README.md, report.html, formats.json and plots.
    """
    from hubkit.cli.show_formats import show_reported
    from hubkit.formats_assembling import Choice
    from hubkit.formats_pipeline import report_formats, serving_plan

    if model is not None and url is None:
        raise UsageError(
            "--model names a model of a server, and there is no --url",
            hint="Give the server too: --url http://HOST:8000.",
        )
    if p99 is not None and not 0 < p99 < math.inf:
        raise UsageError(f"--p99 {p99:g}: not a latency", hint="Give milliseconds above 0.")
    plan = serving_plan(concurrency, batch_size=batch_size, input_length=length, window_s=window)
    with output().steps() as steps:
        reported: Reported = report_formats(
            target,
            output=into,
            languages=tuple(lang or ()),
            choice=Choice(
                plan=plan,
                engines=tuple(engine or ()),
                search=search,
                p99_ms=p99,
                url=url,
                server_model=model,
            ),
            demo=demo,
            endpoint=endpoint,
            again=again or (),
            listener=steps,
        )
    show_reported(reported)
