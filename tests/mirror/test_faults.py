"""A mirror whose copying is cut off, refused or raced: complete, or as it was."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from hubkit.errors import HubError
from hubkit.hub.server.git import GitRepo
from hubkit.mirror_origin import Wanted
from tests.mirror.conftest import MODEL, WEIGHTS, Pair

TINY = Wanted("model", MODEL)


def state(pair: Pair) -> str:
    """The files of main on the mirror: those of before, those of the origin, or something else."""
    if not pair.api().repo_exists(MODEL):
        return "old"
    found = pair.content(pair.mirror, MODEL, "main", "model")
    if set(found) == {".gitattributes"}:
        return "old"
    return "new" if pair.same(MODEL) else "mixed"


@pytest.mark.conformance
@pytest.mark.parametrize("fault", [503, "reset"])
@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("where", ["public", "mirror"])
def test_a_fault_at_any_request_leaves_the_old_or_the_new(
    pair: Pair, model: str, where: str, phase: str, fault: int | str
) -> None:
    """Each request of a first copy fails for good in its turn, from there to the end; the same
    command completes it afterwards."""
    faults = pair.public_faults if where == "public" else pair.mirror_faults
    pair.run(TINY)
    points = len(pair.public.requests if where == "public" else pair.mirror.requests)
    said: set[str] = set()
    for number in range(1, points + 1):
        pair.api().delete_repo(MODEL)
        faults.seen.clear()
        faults.rule = lambda _m, _p, when, at=number: (
            fault if when == phase and len(faults.seen) >= at else None
        )
        try:
            pair.run(TINY)
        except HubError as error:
            said.add(error.message)
        faults.heal()
        assert state(pair) in ("old", "new"), number
        pair.run(TINY)
        assert state(pair) == "new", number
        refs = pair.api().list_repo_refs(MODEL)
        assert [ref.name for ref in refs.branches] == ["main"]
    assert len(said) > 3
    assert all("503" in text or "broke" in text for text in said), said


@pytest.mark.conformance
@pytest.mark.parametrize("phase", ["before", "after"])
def test_one_fault_at_each_request_is_got_over(pair: Pair, model: str, phase: str) -> None:
    pair.run(TINY)
    points = len(pair.mirror.requests)
    for number in range(1, points + 1):
        pair.api().delete_repo(MODEL)
        pair.mirror_faults.fail_at(number, 503, phase)
        pair.run(TINY)
        pair.mirror_faults.heal()
        assert state(pair) == "new", number
        assert len(pair.api().list_repo_commits(MODEL)) == 2, number


def test_an_interrupted_copy_goes_on_without_what_has_arrived(pair: Pair, model: str) -> None:
    pair.stop_after = 1
    with pytest.raises(KeyboardInterrupt):
        pair.run(TINY)
    assert state(pair) == "old"
    assert puts(pair) == 1
    pair.stop_after = None
    pair.run(TINY)
    assert state(pair) == "new"
    assert puts(pair) == 2


@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("part", ["/commit/", "/api/repos/create", "refs/origin", "/lfs/objects/"])
def test_a_fault_is_got_over(pair: Pair, model: str, part: str, phase: str) -> None:
    pair.mirror_faults.fail_on(part, 503, phase=phase, times=1)
    (done,) = pair.run(TINY)
    assert state(pair) == "new"
    assert pair.api().repo_info(MODEL, revision=model).sha == done.commit
    assert len(pair.api().list_repo_commits(MODEL)) == 2


def puts(pair: Pair) -> int:
    return len([1 for method, _ in pair.mirror.requests if method == "PUT"])


def test_large_files_that_arrived_are_neither_fetched_nor_sent_again(
    pair: Pair, model: str
) -> None:
    pair.mirror_faults.fail_on("/commit/", 503)
    with pytest.raises(HubError, match="503"):
        pair.run(TINY)
    assert puts(pair) == 2
    pair.mirror_faults.heal()
    pair.public.requests.clear()
    (done,) = pair.run(TINY)
    assert puts(pair) == 2
    assert not [p for _, p in pair.public.requests if p.endswith((".safetensors", ".onnx"))]
    assert done.sent_bytes < len(WEIGHTS) < done.copied_bytes
    assert pair.same(MODEL)


def test_small_files_that_came_are_not_fetched_again(pair: Pair, model: str) -> None:
    pair.mirror_faults.fail_on("/commit/", 503)
    with pytest.raises(HubError):
        pair.run(TINY)
    pair.mirror_faults.heal()
    pair.public.requests.clear()
    pair.run(TINY)
    fetched = [p for m, p in pair.public.requests if m == "GET" and "/resolve/" in p]
    assert fetched == []


def test_what_comes_changed_is_not_taken(pair: Pair, model: str) -> None:
    (weights,) = [
        path
        for path in (pair.public.root / "repos").rglob("lfs/objects/*/*/*")
        if path.read_bytes() == WEIGHTS
    ]
    weights.write_bytes(WEIGHTS[:-1] + b"X")
    with pytest.raises(HubError, match=r"model\.safetensors .* its digest is another one"):
        pair.run(TINY)
    assert state(pair) == "old"
    weights.write_bytes(WEIGHTS)
    pair.run(TINY)
    assert state(pair) == "new"


def test_a_path_that_leaves_the_repository_is_refused(pair: Pair, tmp_path: Path) -> None:
    commit = pair.push("elastic/evil", {"a.txt": b"a"})
    with GitRepo(pair.public.root / "repos" / "models" / "elastic" / "evil.git") as git:
        files = {name: entry.oid for name, entry in git.files(commit).items()}
        files["../../../evil.txt"] = git.write_blob(b"evil")
        made = git.write_commit(git.write_tree(files), [commit], "owner", "evil")
        assert git.move_ref("refs/heads/main", commit, made)
    with pytest.raises(HubError, match="leaves the repository"):
        pair.run(Wanted("model", "elastic/evil"))
    assert not list(tmp_path.rglob("evil.txt"))


def test_two_mirrors_at_once_make_one_commit(pair: Pair, model: str) -> None:
    found: list[object] = []

    def run() -> None:
        try:
            found.extend(pair.run(TINY))
        except HubError as error:
            found.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    pair.run(TINY)
    assert state(pair) == "new"
    assert len(pair.api().list_repo_commits(MODEL)) == 2
