"""What must be in a Hub after random operations, some of them cut off: a model and its driver."""

from __future__ import annotations

import copy
import hashlib
import http.client
import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

Files = dict[str, str]
"""Path -> git's id of a regular file, or the SHA-256 of a large one."""


@dataclass
class Pull:
    title: str
    status: str
    files: Files


@dataclass
class Repo:
    private: bool = False
    branches: dict[str, Files] = field(default_factory=dict)
    tags: dict[str, Files] = field(default_factory=dict)
    pulls: dict[int, Pull] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)
    """Of main's commits, sorted."""
    stored: set[str] = field(default_factory=set)
    """Large files that were uploaded, whether or not a commit names them."""


Repos = dict[str, Repo]


class Cut(Exception):
    """The server went away before it answered."""


@dataclass
class Server:
    """Where the server is; changes with each of its lives."""

    endpoint: str = ""
    up: threading.Event = field(default_factory=threading.Event)


def git_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Driver:
    """Does random operations in a namespace of its own, and knows what must be there."""

    def __init__(self, server: Server, user: str, token: str, seed: int) -> None:
        self._server, self._user, self._token = server, user, token
        self._random = random.Random(seed)
        self.repos: Repos = {}
        self._contents: dict[str, bytes] = {}
        self.acknowledged = self.cut = 0
        self.kinds: set[str] = set()
        self._initial: Files = {}

    # requests

    def _send(
        self, method: str, target: str, body: object = None, *, signed: bool = False
    ) -> tuple[int, bytes]:
        parts = urlsplit(self._server.endpoint)
        data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        headers = {} if signed else {"Authorization": f"Bearer {self._token}"}
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        try:
            connection.request(method, target, data if method != "GET" else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Cut from error
        finally:
            connection.close()

    def _ask(self, method: str, target: str, body: object = None, *, signed: bool = False) -> bytes:
        status, said = self._send(method, target, body, signed=signed)
        assert status < 400, (method, target, status, said)
        return said

    def _get(self, target: str) -> object:
        return json.loads(self._ask("GET", target))

    # what is there

    def observed(self) -> Repos:
        """The namespace as the server shows it."""
        listed = self._get(f"/api/models?author={self._user}")
        assert isinstance(listed, list)
        return {item["id"]: self._observed(item["id"], item["private"]) for item in listed}

    def _observed(self, name: str, private: bool) -> Repo:
        refs = self._get(f"/api/models/{name}/refs?include_prs=1")
        assert isinstance(refs, dict)
        trees: dict[str, Files] = {}

        def files(ref: dict[str, str]) -> Files:
            commit = ref["targetCommit"]
            if commit not in trees:
                tree = self._get(f"/api/models/{name}/tree/{commit}?recursive=1")
                assert isinstance(tree, list)
                trees[commit] = {
                    entry["path"]: entry.get("lfs", entry)["oid"]
                    for entry in tree
                    if entry["type"] == "file"
                }
            return dict(trees[commit])  # two refs of one commit are changed one by one

        pulls = {}
        heads = {ref["ref"]: ref for ref in refs["pullRequests"]}
        talk = self._get(f"/api/models/{name}/discussions")
        assert isinstance(talk, dict)
        assert {f"refs/pr/{item['num']}" for item in talk["discussions"]} == set(heads)
        for item in talk["discussions"]:
            head = files(heads[f"refs/pr/{item['num']}"])
            pulls[item["num"]] = Pull(item["title"], item["status"], head)
        commits = self._get(f"/api/models/{name}/commits/main?limit=1000")
        assert isinstance(commits, list)
        return Repo(
            private,
            {ref["name"]: files(ref) for ref in refs["branches"]},
            {ref["name"]: files(ref) for ref in refs["tags"]},
            pulls,
            sorted(commit["title"] for commit in commits),
            self._stored(name),
        )

    def _stored(self, name: str) -> set[str]:
        large = [(oid, data) for oid, data in self._contents.items() if len(oid) == 64]
        if not large:
            return set()
        objects = [{"oid": oid, "size": len(data)} for oid, data in large]
        found = set()
        for start in range(0, len(objects), 500):
            ask = {"operation": "upload", "objects": objects[start : start + 500]}
            said = json.loads(self._ask("POST", f"/{name}.git/info/lfs/objects/batch", ask))
            found |= {item["oid"] for item in said["objects"] if "actions" not in item}
        return found

    def check_contents(self) -> int:
        """Download every file of every ref and compare; how many there were."""
        count = 0
        for name, repo in self.repos.items():
            for branch, files in repo.branches.items():
                for path, oid in files.items():
                    target = f"/{name}/resolve/{quote(branch, safe='')}/{path}"
                    status, said = self._send("GET", target)
                    if status == 302:
                        link = f"/{name}.git/info/lfs/objects/{oid}"
                        status, said = self._send("GET", link)
                    assert (status, said) == (200, self._contents[oid]), (name, branch, path)
                    count += 1
        return count

    # operations

    def step(self) -> None:
        """One random operation; if it was cut off, find out whether it is there as a whole."""
        self._server.up.wait(60)
        after = copy.deepcopy(self.repos)
        kind, send = self._choose(after)
        try:
            send()
        except Cut:
            self.cut += 1
            found = self._settled()
            assert found in (self.repos, after), (kind, found, self.repos, after)
            self.repos = found
        else:
            self.acknowledged += 1
            self.kinds.add(kind)
            self.repos = after

    def _settled(self) -> Repos:
        deadline = time.monotonic() + 120
        while True:
            self._server.up.wait(60)
            try:
                return self.observed()
            except Cut:
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def _choose(self, after: Repos) -> tuple[str, Callable[[], object]]:
        names = sorted(after)
        if len(names) < 2:
            return "create", self._create(after)
        name = self._random.choice(names)
        kinds = ["commit"] * 5 + ["upload"] * 3 + ["branch", "tag", "pull"] * 2
        kinds += ["delete branch", "delete tag", "merge", "merge", "close", "settings", "squash"]
        kinds += ["create", "delete", "move"]
        while True:
            kind = self._random.choice(kinds)
            made = getattr(self, "_" + kind.replace(" ", "_"))(after, name, after[name])
            if made is not None:
                return kind, made

    def _word(self) -> str:
        return f"w{self._random.randrange(10**6)}"

    def _create(self, after: Repos, *unused: object) -> Callable[[], object]:
        name, private = self._word(), self._random.random() < 0.3

        def send() -> None:
            self._ask("POST", "/api/repos/create", {"name": name, "private": private})

        after[f"{self._user}/{name}"] = Repo(
            private, {"main": dict(self._initial)}, titles=["initial commit"]
        )
        return send

    def learn_initial(self) -> None:
        """The file that every repository starts with."""
        self._ask("POST", "/api/repos/create", {"name": "first"})
        name = f"{self._user}/first"
        data = self._ask("GET", f"/{name}/resolve/main/.gitattributes")
        self._initial = {".gitattributes": git_id(data)}
        self._contents[git_id(data)] = data
        self.repos[name] = Repo(False, {"main": dict(self._initial)}, titles=["initial commit"])

    def _delete(self, after: Repos, name: str, repo: Repo) -> Callable[[], object] | None:
        if len(after) < 4:
            return None
        del after[name]
        body = {"name": name.partition("/")[2], "type": "model"}
        return lambda: self._ask("DELETE", "/api/repos/delete", body)

    def _move(self, after: Repos, name: str, repo: Repo) -> Callable[[], object]:
        target = f"{self._user}/{self._word()}"
        after[target] = after.pop(name)
        body = {"fromRepo": name, "toRepo": target, "type": "model"}
        return lambda: self._ask("POST", "/api/repos/move", body)

    def _settings(self, after: Repos, name: str, repo: Repo) -> Callable[[], object]:
        repo.private = not repo.private
        body = {"private": repo.private}
        return lambda: self._ask("PUT", f"/api/models/{name}/settings", body)

    def _upload(self, after: Repos, name: str, repo: Repo) -> Callable[[], object]:
        data = self._random.randbytes(self._random.choice([300, 100_000, 3_000_000]))
        oid = hashlib.sha256(data).hexdigest()
        self._contents[oid] = data
        repo.stored.add(oid)

        def send() -> None:
            ask = {"operation": "upload", "objects": [{"oid": oid, "size": len(data)}]}
            said = json.loads(self._ask("POST", f"/{name}.git/info/lfs/objects/batch", ask))
            href = urlsplit(said["objects"][0]["actions"]["upload"]["href"])
            self._ask("PUT", f"{href.path}?{href.query}", data, signed=True)

        return send

    def _change(self, repo: Repo, files: Files) -> list[object]:
        lines: list[object] = []
        for _ in range(self._random.randint(1, 4)):
            path = f"{self._random.choice(['', 'd/', 'd/e/'])}{self._random.choice('abcdefgh')}.txt"
            if path in files and self._random.random() < 0.4:
                del files[path]
                lines.append({"key": "deletedFile", "value": {"path": path}})
            elif repo.stored and self._random.random() < 0.4:
                oid = self._random.choice(sorted(repo.stored))
                files[path] = oid
                size = len(self._contents[oid])
                value = {"path": path, "algo": "sha256", "oid": oid, "size": size}
                lines.append({"key": "lfsFile", "value": value})
            else:
                text = self._random.randbytes(self._random.choice([5, 3000])).hex()
                oid = git_id(text.encode())
                self._contents[oid] = text.encode()
                files[path] = oid
                value = {"path": path, "content": text, "encoding": "utf-8"}
                lines.append({"key": "file", "value": value})
        return lines

    def _commit(self, after: Repos, name: str, repo: Repo) -> Callable[[], object]:
        branch, title = self._random.choice(sorted(repo.branches)), self._word()
        before = dict(repo.branches[branch])
        lines = self._change(repo, repo.branches[branch])
        if branch == "main" and repo.branches["main"] != before:
            repo.titles = sorted([*repo.titles, title])
        return self._sent(name, quote(branch, safe=""), title, lines)

    def _sent(self, name: str, where: str, title: str, lines: list[object]) -> Callable[[], object]:
        header = {"key": "header", "value": {"summary": title}}
        body = "\n".join(json.dumps(line) for line in [header, *lines]).encode()
        return lambda: self._ask("POST", f"/api/models/{name}/commit/{where}", body)

    def _pull(self, after: Repos, name: str, repo: Repo) -> Callable[[], object]:
        title, files = f"pull {self._word()}", dict(repo.branches["main"])
        lines = self._change(repo, files)
        repo.pulls[max(repo.pulls, default=0) + 1] = Pull(title, "open", files)
        return self._sent(name, "main?create_pr=1", title, lines)

    def _close(self, after: Repos, name: str, repo: Repo) -> Callable[[], object] | None:
        numbers = [n for n, pull in repo.pulls.items() if pull.status == "open"]
        if not numbers:
            return None
        number = self._random.choice(numbers)
        repo.pulls[number].status = "closed"
        target = f"/api/models/{name}/discussions/{number}/status"
        return lambda: self._ask("POST", target, {"status": "closed", "comment": "no"})

    def _merge(self, after: Repos, name: str, repo: Repo) -> Callable[[], object] | None:
        # Only the newest, and only if main has not changed since, so that the result is its files.
        number = max(repo.pulls, default=0)
        pull = repo.pulls.get(number)
        if pull is None or pull.status != "open" or number not in self._fresh(name):
            return None
        pull.status = "merged"
        repo.branches["main"] = dict(pull.files)
        repo.titles = sorted([*repo.titles, pull.title, f"{pull.title} (#{number})"])
        return lambda: self._ask("POST", f"/api/models/{name}/discussions/{number}/merge")

    def _fresh(self, name: str) -> set[int]:
        """Pull requests whose first parent is main's head now."""
        found = set()
        try:
            refs = self._get(f"/api/models/{name}/refs?include_prs=1")
            assert isinstance(refs, dict)
            main = next(r["targetCommit"] for r in refs["branches"] if r["name"] == "main")
            for ref in refs["pullRequests"]:
                commits = self._get(f"/api/models/{name}/commits/{ref['targetCommit']}")
                assert isinstance(commits, list)
                if len(commits) > 1 and commits[1]["id"] == main:
                    found.add(int(ref["name"]))
        except Cut:
            return set()
        return found

    def _branch(self, after: Repos, name: str, repo: Repo) -> Callable[[], object]:
        branch = self._random.choice(["", "deep/"]) + self._word()
        start = self._random.choice(sorted(repo.branches))
        repo.branches[branch] = dict(repo.branches[start])
        target = f"/api/models/{name}/branch/{quote(branch, safe='')}"
        return lambda: self._ask("POST", target, {"startingPoint": start})

    def _delete_branch(self, after: Repos, name: str, repo: Repo) -> Callable[[], object] | None:
        if len(repo.branches) < 2:
            return None
        branch = self._random.choice(sorted(set(repo.branches) - {"main"}))
        del repo.branches[branch]
        target = f"/api/models/{name}/branch/{quote(branch, safe='')}"
        return lambda: self._ask("DELETE", target)

    def _tag(self, after: Repos, name: str, repo: Repo) -> Callable[[], object]:
        tag, message = self._word(), self._random.choice([None, "said"])
        repo.tags[tag] = dict(repo.branches["main"])
        body = {"tag": tag, "message": message}
        return lambda: self._ask("POST", f"/api/models/{name}/tag/main", body)

    def _delete_tag(self, after: Repos, name: str, repo: Repo) -> Callable[[], object] | None:
        if not repo.tags:
            return None
        tag = self._random.choice(sorted(repo.tags))
        del repo.tags[tag]
        return lambda: self._ask("DELETE", f"/api/models/{name}/tag/{tag}")

    def _squash(self, after: Repos, name: str, repo: Repo) -> Callable[[], object]:
        title = self._word()
        repo.titles = [title]
        target = f"/api/models/{name}/super-squash/main"
        return lambda: self._ask("POST", target, {"message": title})
