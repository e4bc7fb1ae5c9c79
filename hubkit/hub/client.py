"""A Hub, safely: HfApi against any endpoint, every call tried again, every failure a HubError.

huggingface_hub 0.36 retries PUTs of LFS objects itself and nothing else; `create_commit` is never
tried again by any version, because it must not run twice: see `hubkit.hub.committing`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from glob import escape
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hubkit.errors import HubError, UsageError
from hubkit.hub.faults import CUT, Clash, NotThere, Unreachable, fault_of, given_up_in, scrub
from hubkit.hub.limits import HUB as LIMITS
from hubkit.hub.limits import Limits
from hubkit.hub.refusals import LOG_IN, Place, refusal, unreachable
from hubkit.hub.remote import (
    MAIN,
    PR,
    Account,
    PullRequest,
    Refs,
    RemoteCommit,
    RemoteFile,
    RepoKind,
    RepoState,
)
from hubkit.hub.retry import GivenUp, Retry, Transient
from hubkit.hub.session import patience, quiet, with_timeouts
from hubkit.hub.whole import whole_downloads

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import DatasetInfo, ModelInfo, SpaceInfo

    RepoInfo = ModelInfo | DatasetInfo | SpaceInfo

T = TypeVar("T")
PUBLIC_ENDPOINT = "https://huggingface.co"


@dataclass(frozen=True)
class Hub:
    """One Hub and one account on it. All methods raise HubError and nothing else of the network."""

    endpoint: str
    token: str | None = field(repr=False)
    retry: Retry
    api: HfApi = field(repr=False)
    limits: Limits = LIMITS

    def account(self) -> Account:
        """Who we are. Raises HubError where there is no token or the Hub does not know it."""
        if self.token is None:
            raise HubError(f"no token for the Hub at {self.endpoint}", hint=LOG_IN)
        said = self.call("asking who the token belongs to", self.api.whoami)
        role = said.get("auth", {}).get("accessToken", {}).get("role")
        return Account(str(said.get("name", "")), role if isinstance(role, str) else None)

    def state(
        self, repo_id: str, branch: str = MAIN, *, kind: RepoKind = "model"
    ) -> RepoState | None:
        """A repository and where its branch stands; None: it is not there, or may not be seen."""
        try:
            private = self._info(repo_id, None, kind).private
        except NotThere:
            return None
        try:
            return RepoState(self.head(repo_id, branch, kind=kind), bool(private))
        except NotThere:
            return RepoState(None, bool(private))

    def head(self, repo_id: str, revision: str = MAIN, *, kind: RepoKind = "model") -> str:
        """The commit that a branch, tag or (short) commit id stands for. Raises NotThere."""
        sha = self._info(repo_id, revision, kind).sha
        if not sha:
            raise HubError(f"the Hub at {self.endpoint} gives no commit for {repo_id}@{revision}")
        return sha

    def remote_files(
        self, repo_id: str, revision: str, *, kind: RepoKind = "model"
    ) -> dict[str, RemoteFile]:
        """Every file at a revision by path, folders walked."""
        from huggingface_hub.hf_api import RepoFile

        entries = self.call(
            f"listing the files of {repo_id}",
            lambda: list(
                self.api.list_repo_tree(repo_id, recursive=True, revision=revision, repo_type=kind)
            ),
            repo_id,
        )
        return {
            e.path: RemoteFile(e.size, e.blob_id, e.lfs.sha256 if e.lfs else None)
            for e in entries
            if isinstance(e, RepoFile)
        }

    def read(
        self,
        repo_id: str,
        revision: str,
        path: str,
        *,
        kind: RepoKind = "model",
        size_bytes: int | None = None,
    ) -> bytes:
        """The content of one small file, uncached. Raises NotThere.

        `size_bytes`: what it has, where that is known: what is cut on its way is read again.
        """
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils._headers import build_hf_headers
        from huggingface_hub.utils._http import get_session, hf_raise_for_status

        url = hf_hub_url(repo_id, path, repo_type=kind, revision=revision, endpoint=self.endpoint)

        def get() -> bytes:
            answer = get_session().get(url, headers=build_hf_headers(token=self.token or False))
            hf_raise_for_status(answer)
            if size_bytes not in (None, len(answer.content)):
                raise Transient(f"{path} {CUT}")
            return bytes(answer.content)

        return self.call(f"reading {path} of {repo_id}", get, repo_id)

    def snapshot(
        self,
        repo_id: str,
        revision: str,
        *,
        cache: Path | None = None,
        kind: RepoKind = "model",
        leave: Collection[str] = (),
    ) -> Path:
        """The folder with every file of a revision, in huggingface_hub's cache (or in `cache`).

        `leave`: paths of files that need not come.
        """
        expected = self.remote_files(repo_id, revision, kind=kind).keys() - set(leave)

        def get() -> Path:
            with whole_downloads(cache, repo_id, kind):
                found = self.api.snapshot_download(
                    repo_id,
                    revision=revision,
                    repo_type=kind,
                    cache_dir=cache,
                    ignore_patterns=[escape(path) for path in leave] or None,
                )
            folder = Path(found)
            # When the Hub fails it, snapshot_download gives what it has and says nothing.
            if missing := [path for path in sorted(expected) if not (folder / path).is_file()]:
                raise Transient(f"{missing[0]} did not come")
            return folder

        return self.call(f"downloading {repo_id}", get, repo_id)

    def kept(self, repo_id: str, revision: str) -> Path | None:
        """The folder of a model's revision as huggingface_hub's cache has it, without a question to
        the Hub; files that were left out are not in it. None: it was never fetched."""
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            found = self.api.snapshot_download(repo_id, revision=revision, local_files_only=True)
        except LocalEntryNotFoundError:
            return None
        return Path(found)

    def create_repo(self, repo_id: str, *, private: bool, kind: RepoKind = "model") -> None:
        """Make a repository; one that is there already is left as it is."""

        with suppress(Clash):
            self.call(
                f"creating {repo_id}",
                lambda: self.api.create_repo(repo_id, private=private, repo_type=kind),
                repo_id,
            )

    def create_branch(
        self, repo_id: str, branch: str, at: str | None, *, kind: RepoKind = "model"
    ) -> None:
        """Make a branch at a commit (None: at main); one that is there already is left as it is."""
        self.call(
            f"creating branch {branch} of {repo_id}",
            lambda: self.api.create_branch(
                repo_id, branch=branch, revision=at, repo_type=kind, exist_ok=True
            ),
            repo_id,
        )

    def refs(self, repo_id: str, *, kind: RepoKind = "model") -> Refs:
        """The branches, tags and pull requests. Raises NotThere."""
        refs = self.call(
            f"listing the branches and tags of {repo_id}",
            lambda: self.api.list_repo_refs(repo_id, repo_type=kind, include_pull_requests=True),
            repo_id,
        )
        pulls = {ref.ref.removeprefix(PR): ref.target_commit for ref in refs.pull_requests or ()}
        return Refs(
            branches={ref.name: ref.target_commit for ref in refs.branches},
            tags={ref.name: ref.target_commit for ref in refs.tags},
            # The Hub keeps refs/pr/N/… for itself.
            pull_requests={int(name): sha for name, sha in pulls.items() if name.isdigit()},
        )

    def tags(self, repo_id: str, *, kind: RepoKind = "model") -> dict[str, str]:
        """Tag -> commit; for an annotated one a Hub may give the tag object's id."""
        return dict(self.refs(repo_id, kind=kind).tags)

    def create_tag(self, repo_id: str, tag: str, at: str, *, kind: RepoKind = "model") -> None:
        """Make a tag at a commit. Raises Clash where the name is taken."""
        self.call(
            f"making tag {tag} of {repo_id}",
            lambda: self.api.create_tag(repo_id, tag=tag, revision=at, repo_type=kind),
            repo_id,
        )

    def delete_tag(self, repo_id: str, tag: str, *, kind: RepoKind = "model") -> None:
        """Take a tag away; one that is not there is none."""
        with suppress(NotThere):
            self.call(
                f"deleting tag {tag} of {repo_id}",
                lambda: self.api.delete_tag(repo_id, tag=tag, repo_type=kind),
                repo_id,
            )

    def open_pull_requests(
        self, repo_id: str, author: str, *, kind: RepoKind = "model"
    ) -> list[PullRequest]:
        """An account's pull requests that are neither merged nor closed, newest first."""
        found = self.call(
            f"listing the pull requests of {repo_id}",
            lambda: list(
                self.api.get_repo_discussions(
                    repo_id,
                    repo_type=kind,
                    author=author,
                    discussion_type="pull_request",
                    discussion_status="open",
                )
            ),
            repo_id,
        )
        return [
            PullRequest(one.num, one.title, one.url)
            for one in sorted(found, key=lambda one: -one.num)
            if one.is_pull_request and one.author == author
        ]

    def commits_since(
        self, repo_id: str, branch: str, parent: str | None, *, kind: RepoKind = "model"
    ) -> list[RemoteCommit]:
        """The commits of a branch that came after `parent`, newest first."""
        commits = self.call(
            f"reading the history of {repo_id}",
            lambda: self.api.list_repo_commits(repo_id, revision=branch, repo_type=kind),
            repo_id,
        )
        since = takewhile(lambda commit: commit.commit_id != parent, commits)
        return [RemoteCommit(commit.commit_id, commit.title) for commit in since]

    def _info(self, repo_id: str, revision: str | None, kind: RepoKind) -> RepoInfo:
        return self.call(
            f"reading {repo_id}",
            lambda: self.api.repo_info(repo_id, revision=revision, repo_type=kind),
            repo_id,
        )

    def call(self, doing: str, call: Callable[[], T], repo_id: str = "") -> T:
        """What one call of huggingface_hub gives, tried again where that may help. Raises HubError
        that says what was being done."""

        def once() -> T:
            try:
                with quiet(), patience(self.retry):
                    return call()
            except Unreachable as error:  # of a call inside the call
                raise Transient(error.reason) from error
            except (HubError, Transient):
                raise
            except Exception as error:
                if given_up := given_up_in(error, self.token):
                    raise given_up from error
                fault = fault_of(error, endpoint=self.endpoint, token=self.token)
                if fault is None:
                    raise
                if fault.kind == "transient":
                    raise Transient(fault.detail, fault.wait_s) from error
                name = ""
                if fault.kind == "forbidden":
                    with suppress(HubError):
                        name = self.account().name
                raise refusal(fault, doing, Place(self.endpoint, repo_id, name)) from error

        try:
            return self.retry.run(once)
        except GivenUp as error:
            raise unreachable(error, doing, Place(self.endpoint, repo_id)) from error


def connect(endpoint: str | None, token: str | None, *, retry: Retry | None = None) -> Hub:
    """A Hub to talk to. Nothing is sent yet.

    `endpoint` None: HF_ENDPOINT, else the public Hub. `token` None: HF_TOKEN, else the stored login
    of `hf auth login`, else none. Raises UsageError where the endpoint is no http(s) address.
    """
    from huggingface_hub import HfApi, constants, get_token

    where = (endpoint or constants.ENDPOINT).rstrip("/")
    if not where.startswith(("http://", "https://")):
        raise UsageError(
            f"{scrub(where)} is not the address of a Hub",
            hint="Give it as http://host:port or https://host (--endpoint, HF_ENDPOINT).",
        )
    if "@" in where.split("/")[2]:
        raise UsageError(
            f"{scrub(where)}: the address of the Hub holds a name and a password, which would be in"
            " every message",
            hint="Leave them out; a token goes into HF_TOKEN, or `hf auth login`.",
        )
    with_timeouts()
    token = token or get_token()
    # False: without a token of ours, huggingface_hub must not look for one of its own.
    api = HfApi(endpoint=where, token=token or False, library_name="hubkit")
    return Hub(where, token, retry or Retry(), api)
