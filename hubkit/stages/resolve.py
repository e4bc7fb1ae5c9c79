"""Pin what a recipe names: the commits of base and dataset, and the versions of the tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.errors import DataError, HubError, ModelError
from hubkit.hub.client import connect
from hubkit.hub.remote import RepoKind
from hubkit.keys import digest_of_file, digest_of_value
from hubkit.lock import python_version, tool_versions
from hubkit.recipe import Base, DatasetSpec, LocalModel
from hubkit.records import Artifact, Lock, Record, Sha, Source
from hubkit.stage import Context, stage
from hubkit.stages.hub_benchmark import EVAL_FILE, tasks_done
from hubkit.stages.hub_source import HubReader, Wanted, hub_reader
from hubkit.stages.model_files import digest_of_model

if TYPE_CHECKING:
    from huggingface_hub.hf_api import DatasetInfo, ModelInfo, SpaceInfo

    RepoInfo = ModelInfo | DatasetInfo | SpaceInfo

_LOCAL = "local"


class ResolveInput(Record):
    """`folder` is that of the recipe, from which local paths start; `tools` are the packages whose
    versions go into the lock; the origins say of what a built model or dataset was made;
    `stored_dataset` is a built dataset that is in the store and on no Hub."""

    base: Base
    dataset: DatasetSpec
    recipe_digest: Sha
    folder: str
    tools: tuple[str, ...] = ()
    demo: bool = False
    base_origin: str | None = None
    dataset_origin: str | None = None
    stored_dataset: Artifact | None = None


@stage("resolve", version=1, kind="effect", takes=ResolveInput, gives=Lock)
def resolve(given: ResolveInput, ctx: Context) -> Lock:
    """The lock: what the Hub and the disk hold now, by commit and by digest.

    Raises HubError where a repository or a revision is not there or may not be read, ModelError and
    DataError where a local path holds none.
    """
    return Lock(
        recipe_digest=given.recipe_digest,
        base=_base(given, ctx),
        dataset=_dataset(given, ctx),
        python=python_version(),
        tools=tool_versions(given.tools),
        demo=given.demo,
    )


def local_path(folder: str, path: str) -> Path:
    """A recipe's local path, from the recipe's folder; `~` and absolute paths stay as they are."""
    return Path(folder) / Path(path).expanduser()


def digest_of_data(path: Path) -> str:
    """SHA-256 of a data file, or over a folder's files without hidden ones.

    Raises DataError where there is nothing.
    """
    if path.is_file():
        return digest_of_file(path)
    names = sorted(
        p.relative_to(path)
        for p in path.rglob("*")
        if p.is_file() and not any(part.startswith(".") for part in p.relative_to(path).parts)
    )
    if not names:
        raise DataError(
            f"there is no dataset at {path}",
            hint="Set dataset.path to a CSV, JSON or Parquet file or a folder of them, from the"
            " recipe's folder.",
        )
    return digest_of_value({name.as_posix(): digest_of_file(path / name) for name in names})


def _base(given: ResolveInput, ctx: Context) -> Source:
    base = given.base
    if isinstance(base, LocalModel):
        path = local_path(given.folder, base.path)
        if not path.is_dir():
            raise ModelError(
                f"there is no model folder at {path}",
                hint="Set base.path to a folder with config.json and weights, from the recipe's"
                " folder.",
            )
        return _local("model", path, digest_of_model(path))
    revision = base.revision if base.source == "hub" else "main"
    pinned = _pinned(Wanted("model", base.id, revision), ctx)
    return pinned.model_copy(update={"source": base.source, "origin": given.base_origin})


def _dataset(given: ResolveInput, ctx: Context) -> Source:
    spec = given.dataset
    if spec.source == "local":
        path = local_path(given.folder, spec.path)
        return _local("dataset", path, digest_of_data(path))
    if given.stored_dataset is not None:
        return Source(
            kind="dataset",
            source="built",
            id=spec.path,
            revision=_LOCAL,
            sha=given.stored_dataset.digest,
            license=_license_of_folder(ctx.store.path(given.stored_dataset)),
            origin=given.dataset_origin,
        )
    pinned = _pinned(Wanted("dataset", spec.path, spec.revision), ctx, spec)
    return pinned.model_copy(update={"source": spec.source, "origin": given.dataset_origin})


def _local(kind: RepoKind, path: Path, digest: str) -> Source:
    folder = path.resolve()
    return Source(
        kind=kind,
        source="local",
        id=folder.name,
        revision=_LOCAL,
        sha=digest,
        license=_license_of_folder(folder),
    )


def _pinned(wanted: Wanted, ctx: Context, spec: DatasetSpec | None = None) -> Source:
    reader = hub_reader(ctx.endpoint, ctx.token)
    info = reader.read(
        wanted,
        lambda api: api.repo_info(wanted.id, revision=wanted.revision, repo_type=wanted.kind),
    )
    if not info.sha:
        raise HubError(f"the Hub at {reader.endpoint} gives no commit for {wanted}")
    if getattr(info, "gated", False):  # its page may be seen by all, its files by some
        reader.read(wanted, lambda api: api.auth_check(wanted.id, repo_type=wanted.kind))
    return Source(
        kind=wanted.kind,
        source="hub",
        id=wanted.id,
        revision=wanted.revision,
        sha=info.sha,
        license=_license_of_tags(info.tags or []),
        url=_url(reader, wanted),
        benchmark_tasks=_benchmark_tasks(info, spec, ctx) if spec else (),
    )


def _benchmark_tasks(info: RepoInfo, spec: DatasetSpec, ctx: Context) -> tuple[str, ...]:
    """A benchmark has an eval.yaml at its root; no other dataset is asked for one."""
    if info.sha is None or EVAL_FILE not in {file.rfilename for file in info.siblings or []}:
        return ()
    hub = connect(ctx.endpoint, ctx.token)
    return tasks_done(hub.read(spec.path, info.sha, EVAL_FILE, kind="dataset"), spec)


def _url(reader: HubReader, wanted: Wanted) -> str:
    """Absolute on the public Hub. Elsewhere from the root, so that the link works wherever the Hub
    is reached from."""
    from huggingface_hub.constants import HUGGINGFACE_CO_URL_HOME

    path = f"/datasets/{wanted.id}" if wanted.kind == "dataset" else f"/{wanted.id}"
    public = HUGGINGFACE_CO_URL_HOME.rstrip("/")
    return public + path if reader.endpoint == public else path


def _license_of_tags(tags: list[str]) -> str | None:
    """The Hub repeats a card's licence as tags, whatever form the card gives it in."""
    found = [tag.removeprefix("license:") for tag in tags if tag.startswith("license:")]
    return ", ".join(found) or None


def _license_of_folder(folder: Path) -> str | None:
    from huggingface_hub import metadata_load

    card = folder / "README.md"
    data = (metadata_load(card) if card.is_file() else None) or {}
    found = data.get("license")
    names = found if isinstance(found, list) else [found]
    return ", ".join(str(name) for name in names if name) or None
