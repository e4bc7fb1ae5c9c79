"""Pull requests and discussions: what they tell, what merging does, who may change what."""

from __future__ import annotations

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError


def add(api: HfApi, repo: str, path: str, text: bytes, revision: str = "main") -> None:
    api.upload_file(repo_id=repo, path_in_repo=path, path_or_fileobj=text, revision=revision)


def test_a_pull_request_tells_its_commits_and_its_diff(api: HfApi, repo: str) -> None:
    add(api, repo, "a.txt", b"one\n")
    made = api.create_commit(
        repo,
        [CommitOperationAdd("a.txt", b"two\n"), CommitOperationAdd("w.bin", b"\0weights")],
        commit_message="change",
        commit_description="Why it is better",
        create_pr=True,
    )
    assert made.pr_revision is not None
    add(api, repo, "b.txt", b"more\n", made.pr_revision)

    found = api.get_discussion_details(repo, 1)
    kinds = [event.type for event in found.events]
    assert kinds == ["comment", "commit", "commit"]
    assert found.events[0].content == "Why it is better"  # type: ignore[attr-defined]
    assert found.events[1].oid == made.oid  # type: ignore[attr-defined]
    assert found.diff is not None
    assert "-one\n+two\n" in found.diff
    assert "+++ b/b.txt" in found.diff
    assert "+oid sha256:" in found.diff  # of an LFS file the pointer
    assert found.conflicting_files == []
    assert found.target_branch == "refs/heads/main"


def test_conflicts_are_told_and_stop_the_merge(api: HfApi, repo: str) -> None:
    add(api, repo, "a.txt", b"one\n")
    add(api, repo, "b.txt", b"one\n")
    api.create_commit(
        repo,
        [CommitOperationAdd("a.txt", b"theirs\n"), CommitOperationDelete("b.txt")],
        commit_message="change",
        create_pr=True,
    )
    add(api, repo, "a.txt", b"ours\n")
    assert api.get_discussion_details(repo, 1).conflicting_files == ["a.txt"]
    with pytest.raises(HfHubHTTPError) as refused:
        api.merge_pull_request(repo, 1)
    assert refused.value.response is not None
    assert refused.value.response.status_code == 409
    assert "b.txt" in api.list_repo_files(repo)

    add(api, repo, "a.txt", b"ours\n", "refs/pr/1")  # both sides now say the same
    api.merge_pull_request(repo, 1)
    assert "b.txt" not in api.list_repo_files(repo)
    done = api.get_discussion_details(repo, 1)
    assert done.status == "merged"
    assert done.merge_commit_oid == api.model_info(repo).sha
    assert done.diff is not None
    assert "b.txt" in done.diff  # still what it changed, not what main lacks now


def test_a_comment_is_edited_and_hidden(api: HfApi, other: HfApi, repo: str) -> None:
    other.create_discussion(repo, title="A question", description="first words")
    said = api.get_discussion_details(repo, 1).events[0]
    edited = other.edit_discussion_comment(repo, 1, said.id, new_content="better words")
    assert (edited.edited, edited.content) == (True, "better words")
    assert edited.number_of_edits == 1
    assert edited.edit_history[0]["raw"] == "first words"

    hidden = other.hide_discussion_comment(repo, 1, said.id)
    assert (hidden.hidden, hidden.content, hidden.edit_history) == (True, "", [])


def test_comments_of_others_are_theirs(api: HfApi, other: HfApi, repo: str) -> None:
    api.create_discussion(repo, title="A question", description="the owner's words")
    said = api.get_discussion_details(repo, 1).events[0]
    with pytest.raises(HfHubHTTPError):
        other.edit_discussion_comment(repo, 1, said.id, new_content="not the owner's")
    with pytest.raises(HfHubHTTPError):
        api.edit_discussion_comment(repo, 1, "0" * 24, new_content="no such comment")
    assert api.get_discussion_details(repo, 1).events[0].content == "the owner's words"  # type: ignore[attr-defined]


def test_a_pull_requests_history_is_squashed(api: HfApi, repo: str) -> None:
    opened = api.create_pull_request(repo, title="Many commits")
    assert opened.git_reference == "refs/pr/1"
    for text in (b"1", b"2", b"3"):
        add(api, repo, "a.txt", text, "refs/pr/1")
    api.super_squash_history(repo, branch="refs/pr/1")
    assert len(api.list_repo_commits(repo, revision="refs/pr/1")) == 1
    assert len(api.list_repo_commits(repo)) == 1
