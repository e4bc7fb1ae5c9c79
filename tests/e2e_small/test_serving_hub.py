"""`hubkit serve USER/NAME` of what hubkit published, asked over KServe v2 as any client would."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import requests
from huggingface_hub import snapshot_download
from numpy.typing import NDArray

from tests.e2e_small.worlds import TOKENS, World

pytestmark = pytest.mark.conformance

Floats = NDArray[np.float32]
TEXTS = ("a charming and clever comedy", "dull plot", "it is a very good film")


@contextmanager
def serving(world: World, *args: str) -> Iterator[str]:
    """`hubkit serve ARGS`: its address, once it has said it; it ends with 0 after SIGTERM."""
    process = world.start("serve", *args, "--port", "0")
    assert process.stderr is not None
    said = ""
    try:
        while " at http://" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        yield said.partition(" at ")[2].split()[0]
    finally:
        process.send_signal(signal.SIGTERM)
        done = world.end(process, 30)
    assert done.code == 0, said + done.err


def fetched(world: World, repo: str) -> Path:
    """The whole repository, fetched without hubkit."""
    return Path(
        snapshot_download(
            repo,
            endpoint=world.server.endpoint,
            token=TOKENS["writer"],
            cache_dir=world.root / "reader",
        )
    )


def expected(engine: str, model: Path, tokenizer: Path, text: str) -> Floats:
    """What an engine gives for a text, in this process, with transformers' own tokenizer."""
    from transformers import AutoTokenizer

    made = AutoTokenizer.from_pretrained(tokenizer)(text, return_tensors="np")
    names = ("input_ids", "attention_mask")
    feed = {name: made[name].astype(np.int64) for name in names}
    if engine == "openvino":
        openvino = pytest.importorskip("openvino")
        compiled = openvino.Core().compile_model(str(model), "CPU")
        return np.asarray(compiled(feed)["logits"])
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["logits"], feed)[0])


def asked(url: str, model: str, text: str) -> Floats:
    """What the server answers to a text, in plain JSON as curl sends it."""
    one = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}
    body = json.dumps({"inputs": [one]})
    answer = requests.post(f"{url}/v2/models/{model}/infer", data=body, timeout=20)
    assert answer.status_code == 200, answer.text
    (found,) = [one for one in json.loads(answer.text)["outputs"] if one["name"] == "logits"]
    return np.array(found["data"], np.float32).reshape(found["shape"])


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_what_was_published_is_served_with_the_answers_of_its_file(
    published: World, engine: str
) -> None:
    folder = fetched(published, published.repo)
    with serving(published, published.repo, "--engine", engine) as url:
        for text in TEXTS:
            right = expected(engine, folder / "model.onnx", folder, text)
            assert np.abs(asked(url, "tiny-int8", text) - right).max() < 1e-5


def test_of_several_formats_each_engine_gets_its_own(published: World) -> None:
    openvino = pytest.importorskip("openvino")
    source, folder = fetched(published, published.repo), published.root / "both"
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.onnx"):
        folder.mkdir(exist_ok=True)
        (folder / file).write_bytes((source / file).read_bytes())
    xml = folder / "openvino" / "openvino_model.xml"
    openvino.save_model(openvino.convert_model(str(folder / "model.onnx")), str(xml))
    api, repo = published.api(), "writer/both"
    api.create_repo(repo)
    api.upload_folder(repo_id=repo, folder_path=folder)
    for engine, file in (("openvino", xml), ("onnxruntime", folder / "model.onnx")):
        with serving(published, repo, "--engine", engine) as url:
            found = requests.get(f"{url}/v2/models/both", timeout=20).json()
            assert found["platform"].startswith(engine)
            right = expected(engine, file, folder, TEXTS[0])
            assert np.abs(asked(url, "both", TEXTS[0]) - right).max() < 1e-5


def test_a_repository_without_onnx_is_exported_and_an_earlier_revision_can_be_had(
    fresh: World,
) -> None:
    """Weights of PyTorch alone, then a commit that turns their answers round."""
    import torch
    from safetensors.torch import load_file, save_file

    api, repo = fresh.api(), "writer/weights-only"
    api.create_repo(repo)
    first = api.upload_folder(repo_id=repo, folder_path=fresh.model)
    weights = load_file(fresh.model / "model.safetensors")
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] = torch.neg(weights[name])
    save_file(weights, fresh.model / "model.safetensors", {"format": "pt"})
    api.upload_folder(repo_id=repo, folder_path=fresh.model)
    found = []
    for args in (("--revision", first.oid[:7]), ()):
        with serving(fresh, repo, *args) as url:
            found.append(asked(url, "weights-only", TEXTS[0]))
    assert np.abs(found[0]).max() > 0.01
    assert np.abs(found[0] + found[1]).max() < 1e-4


def test_what_is_private_or_missing_or_away_ends_with_a_cure(fresh: World) -> None:
    repo = "writer/secret"
    fresh.api().create_repo(repo, private=True)
    nobody = World(fresh.root, fresh.server, fresh.switch, token=None)
    for target, more, said, cure in (
        (repo, {}, "may not be seen", "hf auth login"),
        ("writer/none", {}, "not on the Hub", "Check the id"),
        (repo, {"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be reached", "Check the network"),
    ):
        done = nobody.hubkit("serve", target, "--port", "0", **more)
        assert done.code == 1
        assert said in " ".join(done.err.split())
        assert cure in " ".join(done.err.split())
