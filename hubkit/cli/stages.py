"""Each stage as a command of its own, on a recipe or on a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hubkit.cli.opening import labelled, opened
from hubkit.cli.options import (
    Demo,
    Endpoint,
    FormatOption,
    Identity,
    Issuer,
    LabelColumn,
    LabelledDataset,
    OutputDir,
    PublicKey,
    Splits,
    TargetOrFolder,
    TextColumn,
    interruptible,
)
from hubkit.output import output


@interruptible
def quantize(
    target: TargetOrFolder,
    into: OutputDir = None,
    demo: Demo = False,
    endpoint: Endpoint = None,
    format_: FormatOption = "human",
) -> None:
    """Make the INT8 variants; of a model folder, ONNX dynamic INT8, which needs no data."""
    from hubkit.cli.show import show_variants
    from hubkit.folder import folder_variants, is_model_folder
    from hubkit.measuring import optimize
    from hubkit.pipeline import running
    from hubkit.preparing import prepare
    from hubkit.quantizing import CalibrationRows

    if is_model_folder(target):
        with output().steps() as steps, running(endpoint=endpoint, listener=steps) as run:
            _, variants, failures = folder_variants(run, Path(target))
            show_variants(variants, failures, run.store, into)
        return
    with opened(target, demo=demo, endpoint=endpoint) as (run, loaded, origins):
        recipe = loaded.recipe
        material = prepare(run, loaded, origins)
        rows = CalibrationRows(material.calibration, recipe.dataset.calibration_split)
        variants, failures = optimize(run, material.base, recipe.task, recipe.variants, rows)
        show_variants(variants, failures, run.store, into)


@interruptible
def evaluate(
    target: TargetOrFolder,
    dataset: LabelledDataset = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = "label",
    splits: Splits = None,
    demo: Demo = False,
    endpoint: Endpoint = None,
    format_: FormatOption = "human",
) -> None:
    """Score every variant and both FP32 baselines on the whole evaluation split."""
    from hubkit.cli.show import show_scores
    from hubkit.measuring import optimize, score
    from hubkit.preparing import prepare
    from hubkit.quantizing import CalibrationRows

    data = labelled(dataset, text_column, label_column, splits)
    with opened(target, demo=demo, endpoint=endpoint, data=data) as (run, loaded, origins):
        recipe = loaded.recipe
        material = prepare(run, loaded, origins)
        rows = CalibrationRows(material.calibration, recipe.dataset.calibration_split)
        variants, failures = optimize(run, material.base, recipe.task, recipe.variants, rows)
        scores, unscored = score(run, recipe, material, variants)
        show_scores(scores, (*failures, *unscored))


@interruptible
def benchmark(
    target: TargetOrFolder,
    demo: Demo = False,
    endpoint: Endpoint = None,
    format_: FormatOption = "human",
) -> None:
    """Time every variant and both FP32 baselines, one at a time, and write the machine down."""
    from hubkit.cli.show import show_timings
    from hubkit.folder import benchmark_plan, folder_variants, is_model_folder
    from hubkit.measuring import optimize, time
    from hubkit.pipeline import running
    from hubkit.preparing import prepare
    from hubkit.quantizing import CalibrationRows

    if is_model_folder(target):
        with output().steps() as steps, running(endpoint=endpoint, listener=steps) as run:
            base, variants, _ = folder_variants(run, Path(target))
            run.close()
            timings = time(run, base, variants, benchmark_plan(base.max_positions))
        show_timings(timings)
        return
    with opened(target, demo=demo, endpoint=endpoint) as (run, loaded, origins):
        recipe = loaded.recipe
        material = prepare(run, loaded, origins)
        rows = CalibrationRows(material.calibration, recipe.dataset.calibration_split)
        variants, _ = optimize(run, material.base, recipe.task, recipe.variants, rows)
        run.close()
        timings = time(run, material.base, variants, recipe.benchmark)
    show_timings(timings)


@interruptible
def verify(
    repo_id: Annotated[
        str, typer.Argument(metavar="USER/NAME", help="A repository that hubkit made.")
    ],
    revision: Annotated[
        str, typer.Option("--revision", metavar="REV", help="A branch, tag or commit.")
    ] = "main",
    public_key: PublicKey = None,
    identity: Identity = None,
    issuer: Issuer = None,
    endpoint: Endpoint = None,
    format_: FormatOption = "human",
) -> None:
    """Download a revision into an empty cache, load both formats, and compare their logits.

    The files are held against SHA256SUMS, the bill of materials and the cards against the records,
    the signature against a public key, and the versions here against lock.json: others are listed.
    """
    from hubkit.cli.show import show_verified
    from hubkit.pipeline import running
    from hubkit.provenance.signature import wanted_signer
    from hubkit.stages.verify import VerifyInput
    from hubkit.stages.verify import verify as stage

    trust = wanted_signer(public_key, identity, issuer)
    with output().steps() as steps, running(endpoint=endpoint, listener=steps) as run:
        given = VerifyInput(repo_id=repo_id, revision=revision, trust=trust)
        verified = run.run(stage, given, subject=repo_id)
    show_verified(verified)


def exec_call(
    call: Annotated[Path, typer.Argument(metavar="CALL.JSON", help="A call of a heavy stage.")],
) -> None:
    """Run one call of a heavy stage in this process."""
    from pydantic import ValidationError

    from hubkit.errors import UsageError
    from hubkit.executors.base import Call
    from hubkit.executors.worker import execute

    try:
        read = Call.model_validate_json(call.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise UsageError(f"{call} holds no call: {error}") from None
    execute(read)
    output().data(read.key)
