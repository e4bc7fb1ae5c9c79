"""Splits of a dataset, from the Hub or from files, as plain rows of the columns a recipe names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.errors import DataError
from hubkit.nearest import did_you_mean
from hubkit.recipe import DatasetSpec
from hubkit.records import Source
from hubkit.stage import Context
from hubkit.stages.dataset_columns import Rows, read_columns, read_groups
from hubkit.stages.hub_source import Wanted, hub_reader
from hubkit.tasks.base import Reference

if TYPE_CHECKING:
    from datasets import Dataset, DatasetBuilder

# File name ending -> the reader of `datasets` for it.
_READERS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
}
_BATCH_ROWS = 10_000


@dataclass(frozen=True)
class Wish:
    """What is read: the splits, and the columns that `spec` names for a task with `reference`;
    of the first split `groups` too."""

    spec: DatasetSpec
    reference: Reference
    splits: Sequence[str]
    groups: Sequence[str] = ()


def read_splits(source: Source, wish: Wish, path: Path | None, ctx: Context) -> list[Rows]:
    """The rows of each split, in its own order; `path`: of a local dataset.

    Raises DataError where the dataset has no such configuration, split or column, or cannot be
    read, HubError where the Hub does not give it.
    """
    spec, splits, scratch = wish.spec, wish.splits, ctx.scratch / "datasets"
    if path is not None:
        found = list(_load(_local(path), spec, splits, scratch, None))
        return _all_rows(found, wish)
    reader = hub_reader(ctx.endpoint, ctx.token, downloads=True)
    wanted = Wanted("dataset", source.id, source.sha)
    # hf://: else a local folder of that name would be taken for it.
    place = _Place(str(wanted), f"hf://datasets/{source.id}", source.sha, None)
    # `datasets` drops the cause of some of its errors: ask first whether it is there.
    reader.read(wanted, lambda api: api.dataset_info(source.id, revision=source.sha))
    with _datasets_at(reader.endpoint):
        loaded = reader.read(
            wanted, lambda _: list(_load(place, spec, splits, scratch, reader.token))
        )
    return _all_rows(loaded, wish)


@dataclass(frozen=True)
class _Place:
    """Where `datasets` finds a dataset: its arguments `path`, `revision` and `data_files`."""

    name: str
    path: str
    revision: str | None
    data_file: str | None


def _local(path: Path) -> _Place:
    name = f"the dataset {path.name}"
    if path.is_dir():
        return _Place(name, str(path.resolve()), None, None)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path.name} is of no form that can be read",
            hint=f"Set dataset.path to a folder or to a file that ends in {', '.join(_READERS)}.",
        )
    return _Place(name, reader, None, str(path.resolve()))


@contextmanager
def _datasets_at(endpoint: str) -> Iterator[None]:
    """`datasets` takes the Hub's address from the environment, once, when it is imported: inside,
    it is the endpoint's."""
    import datasets.config

    before = datasets.config.HF_ENDPOINT
    datasets.config.HF_ENDPOINT = endpoint
    try:
        yield
    finally:
        datasets.config.HF_ENDPOINT = before


@contextmanager
def _unheard() -> Iterator[None]:
    """`datasets` tells a server on the Internet the name of all that it opens, local files too, and
    waits three seconds for it where there is none: inside, it does not."""
    import datasets.config

    before = datasets.config.HF_UPDATE_DOWNLOAD_COUNTS
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    try:
        yield
    finally:
        datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = before


def _load(
    place: _Place, spec: DatasetSpec, splits: Sequence[str], scratch: Path, token: str | None
) -> Iterator[tuple[str, Dataset]]:
    import requests
    from datasets.exceptions import DatasetsError

    try:
        builder = _builder(place, spec, scratch, token)
        _keep(builder, place, splits)
        builder.download_and_prepare(verification_mode="no_checks")
        for split in splits:
            yield split, _split(builder, split, spec)
    except ConnectionError as error:  # of `datasets`, which drops what was the cause
        raise requests.ConnectionError(str(error)) from error
    except (ValueError, RuntimeError, OSError, DatasetsError) as error:
        if _is_of_the_network(error) or _is_of_the_disk(error):
            raise
        raise DataError(
            f"{place.name} cannot be read: {_reason(error)}",
            hint="Check dataset.path, dataset.config and the splits in the recipe; it has to be of"
            " Parquet, JSON or CSV files, since hubkit runs no code of a dataset.",
        ) from error


def _split(builder: DatasetBuilder, split: str, spec: DatasetSpec) -> Dataset:
    try:
        return builder.as_dataset(split=split)
    except ValueError as error:
        if "corresponds to no data" in str(error):
            raise _empty(split, spec) from error
        raise


def _is_of_the_network(error: BaseException) -> bool:
    import requests

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, requests.RequestException | ConnectionError):
            return True
        seen = seen.__cause__
    return False


def _is_of_the_disk(error: BaseException) -> bool:
    # pyarrow raises OSError for a damaged file too, without the system's number.
    missing = isinstance(error, FileNotFoundError)
    return isinstance(error, OSError) and error.errno is not None and not missing


def _reason(error: BaseException) -> str:
    """The first line of what went wrong first."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _empty(split: str, spec: DatasetSpec) -> DataError:
    return DataError(
        f"split {split} of {spec.path} is empty",
        hint="Set dataset.eval_split and dataset.calibration_split in the recipe to splits with"
        " rows.",
    )


def _builder(place: _Place, spec: DatasetSpec, scratch: Path, token: str | None) -> DatasetBuilder:
    from datasets import disable_progress_bars, load_dataset_builder

    disable_progress_bars()
    options = {"sep": "\t"} if (place.data_file or "").endswith(".tsv") else {}
    with _unheard():
        return load_dataset_builder(
            place.path,
            spec.config,
            revision=place.revision,
            data_files=place.data_file,
            cache_dir=str(scratch),
            token=token,
            **options,
        )


def _keep(builder: DatasetBuilder, place: _Place, splits: Sequence[str]) -> None:
    """Let the builder read the files of the named splits alone."""
    files = builder.config.data_files
    names = [str(name) for name in files]
    wanted = {name for split in splits for name in split_names(split)}
    for name in sorted(wanted):
        if name not in names:
            raise DataError(
                f"{place.name} has no split {name}{did_you_mean(name, names)}",
                hint="Set dataset.eval_split, dataset.calibration_split and base.finetune.split in"
                f" the recipe to one of its splits: {', '.join(names)}.",
            )
    if getattr(builder.config, "batch_size", 0) is None:
        builder.config.batch_size = _BATCH_ROWS  # its default, the first row group, may be empty
    builder.config.data_files = type(files)({n: f for n, f in files.items() if n in wanted})


def split_names(split: str) -> list[str]:
    """The names in a split expression: ["train", "test"] of "train[:10%]+test"."""
    return [re.split(r"\[", part.strip(), maxsplit=1)[0] for part in split.split("+")]


def _all_rows(loaded: Sequence[tuple[str, Dataset]], wish: Wish) -> list[Rows]:
    found = [_rows(dataset, split, wish.spec, wish.reference) for split, dataset in loaded]
    split, dataset = loaded[0]
    groups = read_groups(dataset, split, wish.spec, wish.groups)
    return [replace(found[0], groups=groups), *found[1:]]


def _rows(dataset: Dataset, split: str, spec: DatasetSpec, reference: Reference) -> Rows:
    if len(dataset) == 0:
        raise _empty(split, spec)
    return read_columns(dataset, split, spec, reference)
