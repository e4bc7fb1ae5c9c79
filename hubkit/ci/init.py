"""init(): the workflows of this package, written into a repository."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from hubkit.errors import UsageError
from hubkit.paths import constraints_file
from hubkit.recipe_file import RECIPE, load_recipe

FILES = Path(__file__).resolve().parent / "files"
ACTION = PurePosixPath(".github/actions/publish/action.yml")
RELEASE = PurePosixPath(".github/workflows/hubkit-release.yml")
PULL_REQUEST = PurePosixPath(".github/workflows/hubkit-pull-request.yml")
REQUIREMENTS = PurePosixPath(".github/hubkit/requirements.txt")
CONSTRAINTS = PurePosixPath(".github/hubkit/constraints.txt")

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_FOLDER = re.compile(r"[\w][\w./ -]*|\.")
_WAY = re.compile(r"^(?P<line>.*\S)\s+# way: (?P<way>token|trusted)\n", re.MULTILINE)
_VARIABLE = "${{ vars.HUBKIT_REPO_ID }}"
_DEPTH = 4


@dataclass(frozen=True)
class Initialized:
    """What was written, what was there already, and what is left to do, a sentence each."""

    recipe: str
    repo_id: str | None
    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    to_do: tuple[str, ...]


def init(
    folder: Path,
    *,
    recipe: str | None = None,
    repo_id: str | None = None,
    requirement: str | None = None,
    trusted: bool = False,
    force: bool = False,
) -> Initialized:
    """Write the action and the two workflows into a repository, or nothing at all.

    `recipe`: its folder, from the root of the repository; None: the only one that there is.
    `requirement`: what pip gets hubkit from; None: where this one is from. `trusted`: the job's
    identity in place of the secret HF_TOKEN. Raises UsageError where `folder` is not the root of a
    git repository, and where something else is in the way and `force` is not given.
    """
    _refuse_elsewhere(folder)
    where = find_recipe_in(folder, recipe)
    named = repo_id or load_recipe(str(folder / where)).recipe.publication.repo_id
    if named is not None and not _REPO_ID.fullmatch(named):
        raise UsageError(f"{named}: not USER/NAME", hint="Give it with --repo-id USER/NAME.")
    wanted = files(where, named, requirement or own_requirement(), trusted=trusted)
    missing = {path: text for path, text in wanted.items() if _text(folder / path) != text}
    taken = [path for path in missing if (folder / path).exists() or _is_link(folder, path)]
    if taken and not force:
        raise UsageError(
            f"{', '.join(taken)}: there already, and not what would be written; nothing was",
            hint="Look at the difference, then run the same command with --force.",
        )
    for path in missing:
        if _is_link(folder, path):
            raise UsageError(
                f"{path}: lies behind a link that leads elsewhere", hint="Remove the link."
            )
    for path, text in missing.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(text.encode())
    return Initialized(
        recipe=where,
        repo_id=named,
        written=tuple(missing),
        unchanged=tuple(path for path in wanted if path not in missing),
        to_do=_to_do(named, trusted=trusted),
    )


def _refuse_elsewhere(folder: Path) -> None:
    """GitHub reads `.github` in the root of a repository and nowhere else."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder", hint="Name a repository's root with --dir.")
    if (folder / ".git").exists():  # a file in a worktree
        return
    inside = next((path for path in folder.resolve().parents if (path / ".git").exists()), None)
    raise UsageError(
        f"{folder.resolve()} is not the root of a git repository; nothing was written",
        hint=f"Add --dir {inside}." if inside else "Run `git init` there first, or add --dir ROOT.",
    )


def files(
    recipe: str, repo_id: str | None, requirement: str, *, trusted: bool = False
) -> dict[str, str]:
    """Path -> text of each file, from the root of the repository."""
    way = "trusted" if trusted else "token"
    release = _filled(_shipped("release.yml"), recipe, repo_id)
    compare = _filled(_shipped("pull-request.yml"), recipe, repo_id)
    return {
        str(ACTION): _shipped("action.yml"),
        str(RELEASE): _WAY.sub(lambda m: m["line"] + "\n" if m["way"] == way else "", release),
        str(PULL_REQUEST): compare,
        str(REQUIREMENTS): _REQUIREMENTS.format(requirement=requirement),
        str(CONSTRAINTS): constraints_file().read_text(encoding="utf-8"),
    }


_REQUIREMENTS = """\
# What the workflows install hubkit from, with the versions beside it. Both are part of the key of
# their caches. The name alone would be another project's on the public index: name the source.
-c constraints.txt
{requirement}
"""


def _shipped(name: str) -> str:
    return (FILES / name).read_text(encoding="utf-8")


def _filled(text: str, recipe: str, repo_id: str | None) -> str:
    """A workflow with its two settings; `recipe` is known to hold nothing that YAML would read."""
    below = "**" if recipe == "." else f"{recipe}/**"
    text = text.replace("\n  RECIPE: recipe\n", f"\n  RECIPE: {json.dumps(recipe)}\n")
    text = text.replace("\n      - recipe/**\n", f"\n      - {json.dumps(below)}\n")
    if repo_id is not None:
        text = text.replace(f"\n  REPO_ID: {_VARIABLE}\n", f"\n  REPO_ID: {json.dumps(repo_id)}\n")
    return text


def find_recipe_in(folder: Path, recipe: str | None) -> str:
    """A recipe's folder as the workflows name it: from the root of the repository, with slashes.

    Raises UsageError where it is outside, there is none, or there are several to choose from.
    """
    root = folder.resolve()
    if recipe is None:
        return _only_recipe(folder, root)
    path = (folder / recipe).resolve()
    if path.name == RECIPE:
        path = path.parent
    if not path.is_relative_to(root) or not (path / RECIPE).is_file():
        raise UsageError(
            f"{recipe}: no folder with a {RECIPE} below {folder}",
            hint="Give it from the root of the repository: --recipe model_cards/my-model.",
        )
    return _plain(path.relative_to(root).as_posix())


def _only_recipe(folder: Path, root: Path) -> str:
    found = sorted(
        path.parent.relative_to(root).as_posix()
        for depth in range(_DEPTH)
        for path in root.glob("*/" * depth + RECIPE)
        if not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
    if len(found) == 1:
        return _plain(found[0])
    if not found:
        raise UsageError(
            f"{folder}: no {RECIPE} in it",
            hint="Write one first: `hubkit recipe new MODEL_ID --output my-model`.",
        )
    raise UsageError(
        f"{folder}: which recipe? {', '.join(found)}", hint=f"Add --recipe {found[0]}, say."
    )


def _plain(path: str) -> str:
    if not _FOLDER.fullmatch(path):
        raise UsageError(
            f"{path}: a workflow's filters would not read this as a folder's name",
            hint="Name it with letters, digits, '-', '_', '.' and spaces.",
        )
    return path


def own_requirement() -> str:
    """Where pip gets this very hubkit from (PEP 610, direct_url.json).

    Raises UsageError where that is a folder of this machine, with no remote that others reach.
    """
    try:
        said = distribution("hubkit").read_text("direct_url.json")
    except PackageNotFoundError:
        said = None
    direct = json.loads(said) if said else {}
    source = _source(direct if isinstance(direct, dict) else {})
    if source is None:
        raise UsageError(
            "nothing tells where a runner would get this hubkit from",
            hint="Say it: --hubkit 'hubkit[demo] @ git+https://HOST/OWNER/hubkit@COMMIT'.",
        )
    return f"hubkit[demo] @ {source}"


def _source(direct: dict[str, object]) -> str | None:
    url, vcs = str(direct.get("url", "")), direct.get("vcs_info")
    if isinstance(vcs, dict) and vcs.get("vcs") == "git" and url:
        return f"git+{url}@{vcs.get('commit_id')}"
    if url.startswith("https://"):
        return url
    if not url.startswith("file://") or "dir_info" not in direct:
        return None
    checkout = urlsplit(url).path
    remote, commit = (
        _git(checkout, "remote", "get-url", "origin"),
        _git(checkout, "rev-parse", "HEAD"),
    )
    if not remote or not commit or not remote.startswith("https://") or urlsplit(remote).password:
        return None
    return f"git+{remote}@{commit}"


def _git(folder: str, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", folder, *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return None


def _is_link(folder: Path, path: str) -> bool:
    """Whether a file would be written elsewhere than in the repository."""
    return not (folder / path).resolve().is_relative_to(folder.resolve())


def _to_do(repo_id: str | None, *, trusted: bool) -> tuple[str, ...]:
    shown = repo_id or "USER/NAME"
    to_do = []
    if repo_id is None:
        to_do.append(
            "Set the repository variable HUBKIT_REPO_ID to USER/NAME, or run this again with"
            " --repo-id USER/NAME."
        )
    if trusted:
        to_do.append(
            f"Make {shown} on the Hub, and add a trusted publisher in its settings: provider"
            f" GitHub Actions, claims repository = OWNER/REPOSITORY and workflow = {RELEASE.name}."
        )
    else:
        to_do.append(
            "On GitHub, in Settings > Environments, make the environment huggingface, and add the"
            f" secret HF_TOKEN to it: a fine-grained token that may write to {shown} on the Hub."
        )
    to_do.append(
        "Optional: the repository variable PIP_EXTRA_INDEX_URL, set to PyTorch's index of CPU"
        " builds, spares gigabytes in each run."
    )
    to_do.append("Commit .github, then push a tag: git tag v1.0 && git push origin v1.0.")
    return tuple(to_do)
