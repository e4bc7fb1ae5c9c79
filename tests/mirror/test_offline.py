"""hubkit and the libraries of its users against a mirror, while there is no other network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from huggingface_hub import HfApi

from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.mirror_origin import wanted_of_recipe
from tests.e2e_small.worlds import dataset, labelled, sentences, tiny_recipe
from tests.mirror.conftest import DATASET, MIRROR, MODEL, PUBLIC, Pair
from tests.tiny import make_tiny_model

CONVERTED = "refs/convert/parquet"
# Python runs it before all else: whoever looks for an address that is not this machine's, dies.
NO_NETWORK = """
import os, socket
def here(address):
    return not isinstance(address, tuple) or str(address[0]) in ("127.0.0.1", "localhost", "::1")
def gone(what):
    with open(os.environ["NO_NETWORK_LOG"], "a") as log:
        log.write(f"{what}\\n")
    raise OSError(f"no network: {what}")
connect, lookup = socket.socket.connect, socket.getaddrinfo
socket.socket.connect = lambda s, a: connect(s, a) if here(a) else gone(a)
socket.getaddrinfo = lambda h, *r, **k: lookup(h, *r, **k) if here((h,)) else gone(h)
"""
LOAD = """
import datasets
rows = datasets.load_dataset("eriktks/rows", revision="refs/convert/parquet", split="validation")
assert rows.num_rows == 4 and rows[0]["text"] == "row 0", rows
import huggingface_hub as h
for revision in ("main", None, ORIGIN):
    assert open(h.hf_hub_download("elastic/tiny", "config.json", revision=revision)).read()
"""


def run(
    code: list[str], endpoint: str, home: Path, token: str = MIRROR, **more: str
) -> subprocess.CompletedProcess[str]:
    """A Python process with that Hub, an empty home, and no way out of this machine."""
    (home / "site").mkdir(parents=True)
    (home / "site" / "sitecustomize.py").write_text(NO_NETWORK, encoding="utf-8")
    own = ("HF_", "HUBKIT_", "HUGGING", "PYTHONPATH")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(own)}
    environment |= {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home / "hf"),
        "HF_TOKEN": token,
        "HUBKIT_HOME": str(home / "hubkit"),
        "PYTHONPATH": os.pathsep.join([str(home / "site"), *sys.path[1:]]),
        "NO_NETWORK_LOG": str(home / "network.log"),
        "OMP_NUM_THREADS": "1",
        **more,
    }
    done = subprocess.run(
        [sys.executable, *code],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    log = home / "network.log"
    assert not log.exists(), log.read_text()
    return done


def test_the_guard_guards(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"example\.invalid"):
        run(["-c", "import socket; socket.getaddrinfo('example.invalid', 80)"], "", tmp_path / "h")


def test_datasets_and_files_from_the_mirror(
    pair: Pair, model: str, dataset: str, tmp_path: Path
) -> None:
    pair.run(wanted_of(MODEL, "main"), with_datasets=True)
    pair.public.close()
    code = LOAD.replace("ORIGIN", repr(model))
    # Else `datasets` by itself tells a server on the Internet what it loads.
    quiet = {"HF_UPDATE_DOWNLOAD_COUNTS": "0"}
    done = run(["-c", code], pair.mirror.endpoint, tmp_path / "home", **quiet)
    assert done.returncode == 0, done.stderr[-3000:]


def wanted_of(repo: str, revision: str):  # type: ignore[no-untyped-def]
    from hubkit.mirror_origin import Wanted

    return Wanted("model", repo, revision)


def write_recipe(folder: Path, base_revision: str) -> Path:
    """A recipe that reads model and dataset from the Hub, one by commit, one by its conversion."""
    folder.mkdir()
    recipe = tiny_recipe(
        base={"source": "hub", "id": MODEL, "revision": base_revision},
        dataset=dataset(source="hub", path=DATASET, revision=CONVERTED),
    )
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return folder


@pytest.mark.conformance
def test_a_recipe_is_published_from_its_mirror(pair: Pair, tmp_path: Path) -> None:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    made = make_tiny_model(tmp_path / "model")
    api = HfApi(pair.public.endpoint, token=PUBLIC)
    api.create_repo(MODEL)
    api.upload_folder(repo_id=MODEL, folder_path=made)
    commit = str(api.repo_info(MODEL).sha)
    api.upload_file(path_or_fileobj=b"later", path_in_repo="later.txt", repo_id=MODEL)
    api.create_repo(DATASET, repo_type="dataset")
    api.create_branch(DATASET, branch=CONVERTED, repo_type="dataset")
    files = {}
    for split, seed in (("train", 1), ("validation", 2)):
        rows = labelled(made, sentences(200, seed), 40)
        table = pa.table({"sentence": [t for t, _ in rows], "label": [n for _, n in rows]})
        sink = io.BytesIO()
        pq.write_table(table, sink)
        files[f"default/{split}/0000.parquet"] = sink.getvalue()
    pair.push(DATASET, files, kind="dataset", revision=CONVERTED)
    folder = write_recipe(tmp_path / "recipe", commit)

    root = tmp_path / "closed"
    command = ["-m", "hubkit", "hub", "mirror", str(folder), "--root", str(root), "--format"]
    command += ["json", "--from", pair.public.endpoint]
    done = run(command, "", tmp_path / "open", token="")
    assert done.returncode == 0, done.stderr
    copied = json.loads(done.stdout)["mirrored"]
    assert [one["id"] for one in copied] == [MODEL, DATASET]
    assert len(wanted_of_recipe(str(folder)) or ()) == 2

    pair.public.close()
    with EmbeddedHub(root) as hub:
        publish = ["-m", "hubkit", "publish", str(folder), "--repo-id", "demo/tiny-int8"]
        done = run([*publish, "--format", "json"], hub.endpoint, tmp_path / "home", hub.token)
        assert done.returncode == 0, done.stderr
        lock = json.loads(
            HfApi(hub.endpoint, token=hub.token).hf_hub_download(
                "demo/tiny-int8", "lock.json", local_dir=tmp_path / "got"
            )
            and (tmp_path / "got" / "lock.json").read_text()
        )
    assert lock["base"]["revision"] == commit
    assert lock["base"]["sha"] == copied[0]["commit"]
    assert lock["dataset"]["sha"] == copied[1]["commit"]
