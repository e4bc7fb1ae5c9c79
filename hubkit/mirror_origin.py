"""What a mirror copies: a revision of a repository, and the datasets that go with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.errors import HubError, UsageError
from hubkit.hub.faults import Unreachable
from hubkit.hub.remote import MAIN, RemoteFile
from hubkit.mirror_side import MirrorKind, Side

if TYPE_CHECKING:
    from huggingface_hub.hf_api import GitRefs

CONVERTED = "refs/convert/parquet"  # where the Hub keeps a dataset's rows as Parquet


@dataclass(frozen=True)
class Wanted:
    """A revision of a repository, as somebody names it."""

    kind: MirrorKind
    id: str
    revision: str = MAIN


@dataclass(frozen=True)
class Selection:
    """Which files are copied: those that fit one of `include` (none: all), and none of `exclude`;
    patterns as of `hf download`, where * fits a slash too."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def takes(self, path: str) -> bool:
        """Whether a file is copied."""
        inside = not self.include or any(fnmatchcase(path, p) for p in self.include)
        return inside and not any(fnmatchcase(path, p) for p in self.exclude)


@dataclass(frozen=True)
class Origin:
    """A revision as it is where it comes from.

    `id`: the repository's full name, where it was asked for by an old one. `branch`: the branch (or
    refs/convert/NAME) that the mirror gets for it; None: it is at the tip of none. `tags`: those
    that are at the commit.
    """

    wanted: Wanted
    id: str
    commit: str
    files: Mapping[str, RemoteFile]
    branch: str | None
    tags: tuple[str, ...]
    restricted: bool  # private or gated
    sdk: str | None
    datasets: tuple[str, ...]  # ids in its card


def wanted_of_recipe(target: str) -> list[Wanted] | None:
    """Base and dataset of a recipe, at the revisions it names; None where `target` is no recipe.

    Raises RecipeError for one that is wrong, UsageError for one that reads nothing from a Hub.
    """
    from hubkit.recipe_file import load_recipe, shipped_recipes

    path = Path(target).expanduser()
    is_file = path.suffix in (".yaml", ".yml") or (path / "recipe.yaml").is_file()
    if target not in shipped_recipes() and not is_file:
        return None
    recipe = load_recipe(target).recipe
    found: list[Wanted] = []
    if recipe.base.source == "hub":
        found.append(Wanted("model", recipe.base.id, recipe.base.revision))
    if recipe.dataset.source == "hub":
        found.append(Wanted("dataset", recipe.dataset.path, recipe.dataset.revision))
    if not found:
        raise UsageError(
            f"the recipe {recipe.name} reads nothing from a Hub, so there is nothing to mirror",
            hint="Its model and its dataset are on this machine already.",
        )
    return found


def read_origin(side: Side, wanted: Wanted) -> Origin:
    """What a name stands for now. Raises HubError: not there, gated, or the Hub is away."""
    doing = f"reading the {wanted.kind} {wanted.id}"
    info = side.ask(
        doing,
        wanted.id,
        lambda api: api.repo_info(wanted.id, revision=wanted.revision, repo_type=wanted.kind),
    )
    if not info.sha:
        raise HubError(f"the Hub at {side.endpoint} gives no commit for {wanted.id}")
    gated = bool(getattr(info, "gated", False))
    if gated:
        _refuse_without_access(side, wanted)
    refs = side.ask(
        doing, wanted.id, lambda api: api.list_repo_refs(info.id, repo_type=wanted.kind)
    )
    files = side.files(info.id, wanted.kind, info.sha)
    for path in files:
        _refuse_outside(path, info.id)
    card = getattr(info, "card_data", None)
    named = getattr(card, "datasets", None) or []
    return Origin(
        wanted=wanted,
        id=info.id,
        commit=info.sha,
        files=files,
        branch=_branch(refs, wanted.revision, info.sha),
        tags=_tags(refs, wanted.revision, info.sha),
        restricted=bool(info.private) or gated,
        sdk=getattr(info, "sdk", None),
        datasets=tuple(d for d in ([named] if isinstance(named, str) else named) if d),
    )


def datasets_of(side: Side, model: Origin) -> list[Wanted]:
    """The datasets that a card names and that this Hub has; of one whose main is a script, the
    Parquet conversion too, since nothing runs such a script any more."""
    found: list[Wanted] = []
    for name in dict.fromkeys(str(d) for d in model.datasets):
        try:
            found += _dataset(side, name)
        except Unreachable:
            raise
        except HubError:
            continue  # many cards name datasets by words that are no id
    return found


def _dataset(side: Side, name: str) -> list[Wanted]:
    doing = f"reading the dataset {name}"
    info = side.ask(doing, name, lambda api: api.dataset_info(name))
    found = [Wanted("dataset", info.id)]
    script = f"{info.id.rpartition('/')[2]}.py"
    if script in {file.rfilename for file in info.siblings or []}:
        refs = side.ask(doing, name, lambda api: api.list_repo_refs(info.id, repo_type="dataset"))
        if CONVERTED in {ref.ref for ref in refs.converts}:
            found.append(Wanted("dataset", info.id, CONVERTED))
    return found


def _refuse_without_access(side: Side, wanted: Wanted) -> None:
    try:
        side.ask(
            f"asking for access to {wanted.id}",
            wanted.id,
            lambda api: api.auth_check(wanted.id, repo_type=wanted.kind),
        )
    except HubError as error:
        page = f"{side.endpoint}/{'' if wanted.kind == 'model' else wanted.kind + 's/'}{wanted.id}"
        login = (
            "the token's account has no access yet"
            if side.token
            else "run `hf auth login`, or set HF_TOKEN, with an account that has it"
        )
        raise HubError(
            f"the {wanted.kind} {wanted.id} is gated: its owner decides who may copy it",
            hint=f"Ask for access at {page}; {login}; then run the same command again.",
        ) from error


def _refuse_outside(path: str, repo_id: str) -> None:
    if path.startswith("/") or "\\" in path or any(p in ("", ".", "..") for p in path.split("/")):
        raise HubError(f"{repo_id} holds a file whose path leaves the repository: {path!r}")


def _branch(refs: GitRefs, revision: str, commit: str) -> str | None:
    name = revision.removeprefix("refs/heads/")
    heads = {ref.name: ref.target_commit for ref in refs.branches}
    if name in heads:
        return name
    if revision in {ref.ref for ref in refs.converts}:
        return revision
    return MAIN if heads.get(MAIN) == commit else None


def _tags(refs: GitRefs, revision: str, commit: str) -> tuple[str, ...]:
    # An annotated tag may be listed by its own id: the one that was asked for is known to fit.
    name = revision.removeprefix("refs/tags/")
    found = {ref.name for ref in refs.tags if ref.target_commit == commit or ref.name == name}
    return tuple(sorted(found))
