"""What `hubkit serve` finds to serve, and how texts become its inputs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hubkit.cli.app import app
from hubkit.errors import HubkitError, UsageError
from hubkit.formats_records import ServingConfig
from hubkit.serving.codec import Inference
from hubkit.serving.refusal import Refusal
from hubkit.serving_target import find_model
from hubkit.stages.serving_model import load_served
from tests.serving.tiny_onnx import NAME, PAD, make_model


def test_a_folder_with_a_model_is_served_as_it_is(tiny_folder: Path) -> None:
    found = find_model(str(tiny_folder))
    assert (found.files.name, found.files.model_file) == (NAME, "model.onnx")
    assert (found.engine.runtime, found.engine.provider) == ("onnxruntime", "CPUExecutionProvider")
    other = find_model(str(tiny_folder), runtime="openvino")
    assert (other.engine.runtime, other.files.model_file) == ("openvino", "model.onnx")


def test_what_is_nothing_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(HubkitError, match="no-such-recipe"):
        find_model("no-such-recipe")


def test_a_wrong_engine_and_a_taken_port(tiny_folder: Path) -> None:
    from typer.testing import CliRunner

    done = CliRunner().invoke(app, ["serve", str(tiny_folder), "--engine", "tensorrt"])
    assert isinstance(done.exception, UsageError)
    import socket

    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = str(sock.getsockname()[1])
        done = CliRunner().invoke(app, ["serve", str(tiny_folder), "--port", port])
    assert isinstance(done.exception, HubkitError)
    assert "cannot listen" in done.exception.message


def _with_tokenizer(folder: Path) -> Path:
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

    words = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "good", "film", "a"]
    tokenizer = Tokenizer(models.WordPiece({w: n for n, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in words[:5]])
    make_model(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "DistilBertTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def test_texts_are_tokenized_by_the_models_own_tokenizer(tmp_path: Path) -> None:
    found = find_model(str(_with_tokenizer(tmp_path / "spoken")))
    served, pool = load_served(found.files, found.engine, ServingConfig(), 10)
    pool.close()
    texts = np.array([b"A good FILM", b"film"], object)
    inputs = served.inputs_of(Inference({"text": texts}))
    assert inputs["input_ids"].tolist() == [[1, 7, 5, 6, 2], [1, 6, 2, PAD, PAD]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    long = served.inputs_of(Inference({"text": np.array([[b"film " * 500]], object)}))
    assert long["input_ids"].shape == (1, 64)
    for wrong in (np.array([b"\xff"], object), np.array([1]), np.array([], object)):
        with pytest.raises(Refusal):
            served.inputs_of(Inference({"text": wrong}))


def test_outputs_are_known_by_running_the_model(tiny_folder: Path) -> None:
    found = find_model(str(tiny_folder))
    served, pool = load_served(found.files, found.engine, ServingConfig(max_batch=64), 10)
    pool.close()
    assert served.outputs == {"logits": (-1, 2), "tokens": (-1, -1, 1)}
    assert (served.max_rows, served.max_length, served.tokenize) == (64, 64, None)
