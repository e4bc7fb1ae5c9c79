"""Two embedded Hubs: one plays the public Hub, the other is the mirror of it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import CommitOperationAdd, HfApi

from hubkit.hub.retry import Retry
from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.hub.session import default_endpoint
from hubkit.mirror import Mirrored, mirror_all
from hubkit.mirror_origin import Wanted
from hubkit.mirror_plan import Options
from hubkit.mirror_side import Side, mirror_at, origin_at
from tests.hub_client.hubs import Switchboard

PUBLIC, READER, MIRROR = "hf_public_owner_1", "hf_public_reader_2", "hf_mirror_owner_3"
MODEL, DATASET = "elastic/tiny", "eriktks/rows"
WEIGHTS = b"weights\0" * 4000
CARD = "---\nlicense: mit\ndatasets: [eriktks/rows, no-such-dataset]\n---\n# Tiny\n"


def parquet(rows: int) -> bytes:
    """A file of rows as the Hub converts them to."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"text": [f"row {n}" for n in range(rows)], "label": [0, 1] * (rows // 2)})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


@dataclass
class Pair:
    """The public Hub and its mirror, each with its faults."""

    public: EmbeddedHub
    mirror: EmbeddedHub
    public_faults: Switchboard
    mirror_faults: Switchboard
    waits: list[float] = field(default_factory=list)
    sent: list[tuple[str, int, int]] = field(default_factory=list)
    stop_after: int | None = None  # a user's Ctrl-C once so many files have come

    def hear(self, what: str, done: int, total: int) -> None:
        """What is told of the progress."""
        self.sent.append((what, done, total))
        if self.stop_after is not None and len(self.sent) >= self.stop_after:
            raise KeyboardInterrupt

    def public_api(self) -> HfApi:
        return HfApi(self.public.endpoint, token=PUBLIC)

    def api(self) -> HfApi:
        return HfApi(self.mirror.endpoint, token=MIRROR)

    def source(self) -> Side:
        return origin_at(self.public.endpoint, retry=self._retry())

    def _retry(self) -> Retry:
        return Retry(tries=3, sleep=self.waits.append)

    def run(
        self, wanted: Wanted, options: Options | None = None, *, with_datasets: bool = False
    ) -> list[Mirrored]:
        """Mirror it to its end."""
        with mirror_at(None, self.mirror.endpoint, MIRROR, retry=self._retry()) as target:
            found = mirror_all(
                self.source(),
                target,
                [wanted],
                options or Options(),
                self.hear,
                with_datasets=with_datasets,
            )
            return list(found)

    def push(self, repo: str, files: dict[str, bytes], kind: str = "model", **more: str) -> str:
        """A commit on the public Hub."""
        api = self.public_api()
        api.create_repo(repo, repo_type=kind, exist_ok=True)
        operations = [CommitOperationAdd(path, data) for path, data in files.items()]
        with default_endpoint(self.public.endpoint):
            return api.create_commit(
                repo, operations, repo_type=kind, commit_message="files", **more
            ).oid

    def content(self, hub: EmbeddedHub, repo: str, revision: str, kind: str) -> dict[str, str]:
        """Path -> digest of every file, asked of a Hub itself."""
        api = HfApi(hub.endpoint, token=PUBLIC if hub is self.public else MIRROR)
        info = api.repo_info(repo, revision=revision, repo_type=kind, files_metadata=True)
        return {
            file.rfilename: file.lfs.sha256 if file.lfs else file.blob_id for file in info.siblings
        }

    def same(self, repo: str, revision: str = "main", kind: str = "model") -> bool:
        """Whether both Hubs have the same files at a revision."""
        one, other = (self.content(hub, repo, revision, kind) for hub in (self.public, self.mirror))
        return one == other


@pytest.fixture(name="pair")
def _pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HUBKIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_TOKEN", READER)
    # Uploads of huggingface_hub wait by themselves, a second and more: let them not.
    monkeypatch.setattr("huggingface_hub.utils._http.time", SimpleNamespace(sleep=lambda _s: None))
    users = {
        "owner": {"token": PUBLIC, "orgs": ["*"]},
        "me": {"token": READER, "role": "read"},
    }
    one, other = Switchboard(), Switchboard()
    with (
        EmbeddedHub(tmp_path / "public", users, faults=one) as public,
        EmbeddedHub(
            tmp_path / "mirror", {"we": {"token": MIRROR, "orgs": ["*"]}}, faults=other
        ) as mirror,
    ):
        yield Pair(public, mirror, one, other)


@pytest.fixture(name="model")
def _model(pair: Pair) -> str:
    """A model on the public Hub; the commit of its main."""
    files = {
        "README.md": CARD.encode(),
        "config.json": b'{"a": 1}',
        "model.safetensors": WEIGHTS,
        "onnx/model.onnx": b"graph\0" * 999,
        "data [1].txt": b"odd name",
    }
    pair.push(MODEL, files)
    return pair.push(MODEL, {".gitignore": b"*.onnx\ndata*\n"})  # of what is there already


@pytest.fixture(name="dataset")
def _dataset(pair: Pair) -> str:
    """A dataset whose main is a script and whose rows are at refs/convert/parquet."""
    commit = pair.push(DATASET, {"rows.py": b"raise SystemExit\n"}, kind="dataset")
    api = pair.public_api()
    api.create_branch(DATASET, branch="refs/convert/parquet", repo_type="dataset")
    pair.push(
        DATASET,
        {
            "default/train/0000.parquet": parquet(20),
            "default/validation/0000.parquet": parquet(4),
        },
        kind="dataset",
        revision="refs/convert/parquet",
    )
    # The Hub's conversion holds nothing of main.
    with default_endpoint(pair.public.endpoint):
        api.delete_file("rows.py", DATASET, repo_type="dataset", revision="refs/convert/parquet")
    return commit
