"""verify against the embedded Hub: a repository as it was pushed, and each way it can be wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from hubkit.errors import HubError, VerifyError
from hubkit.hub.manifest import format_sums
from hubkit.keys import digest_of_bytes
from hubkit.records import (
    Artifact,
    BaseModelInfo,
    Dataset,
    Encoded,
    Format,
    Report,
    Sample,
)
from hubkit.stage import Context
from hubkit.stages.push import push_to
from hubkit.stages.verify import VerifyInput, verify
from hubkit.store import Store
from hubkit.verify_worker import Place, check_pytorch, check_sums, compare, read_report
from tests.hub_client.hubs import World, _world  # noqa: F401 - the fixture "world"
from tests.stages.onnx_models import make_variant
from tests.tiny import SENTENCES, make_tiny_model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORDS = {"[PAD]": 0, "[UNK]": 1, "good": 2, "bad": 3, "film": 4}
TEXTS = ("good film", "bad", "good good good", "bad film " * 10)
MAX_LENGTH = 8


def logits_of(text: str) -> tuple[float, float]:
    """What the model of `make_variant` makes of a text: plus and minus the sum of its ids."""
    total = float(sum(WORDS[word] for word in text.split()[:MAX_LENGTH]))
    return total, -total


def samples(format_: Format = "onnx", *, off: float = 0.0) -> tuple[Sample, ...]:
    return tuple(
        Sample(
            row=row, primary=text, logits={format_: (logits_of(text)[0] + off, logits_of(text)[1])}
        )
        for row, text in enumerate(TEXTS)
    )


def report_of(recorded: tuple[Sample, ...], max_length: int = MAX_LENGTH) -> Report:
    nothing = Artifact(digest="0" * 64, files=())
    return Report(
        recipe="tiny",
        task="text-classification",
        base=BaseModelInfo(
            artifact=nothing,
            architecture="DistilBertForSequenceClassification",
            model_type="distilbert",
            labels=("NEGATIVE", "POSITIVE"),
            num_parameters=2,
            max_positions=64,
            weights_bytes=8,
        ),
        dataset=Dataset(
            artifact=nothing,
            eval_rows=4,
            eval_rows_available=4,
            calibration_rows=0,
            label_counts={"NEGATIVE": 2, "POSITIVE": 2},
        ),
        encoded=Encoded(
            artifact=nothing,
            rows=4,
            truncated=1,
            max_length=max_length,
            mean_tokens=6.0,
            input_names=("input_ids", "attention_mask"),
        ),
        variants=(),
        scores=(),
        samples=recorded,
    )


def onnx_files(store: Store, recorded: tuple[Sample, ...]) -> dict[str, bytes]:
    tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    config = {"model_type": "distilbert", "architectures": ["DistilBertForSequenceClassification"]}
    says = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}
    variant = make_variant(store, "sum")
    return {
        "config.json": json.dumps(config).encode(),
        "model.onnx": (store.path(variant.artifact) / "model.onnx").read_bytes(),
        "results.json": report_of(recorded).model_dump_json(by_alias=True).encode(),
        "tokenizer.json": tokenizer.to_str().encode(),
        "tokenizer_config.json": json.dumps(says).encode(),
    }


def publish(world: World, files: dict[str, bytes], *, private: bool = False) -> Artifact:
    """Push the files with a SHA256SUMS that fits, and give the bundle."""
    sums = format_sums({path: digest_of_bytes(data) for path, data in files.items()})
    bundle = world.bundle({**files, "SHA256SUMS": sums.encode()})
    with world.ctx() as ctx:
        push_to(world.hub(), world.given(bundle, private=private), ctx)
    return bundle


def test_a_repository_that_predicts_otherwise(world: World) -> None:
    publish(world, onnx_files(world.store, samples(off=0.01)))
    with world.ctx() as ctx, pytest.raises(VerifyError, match=r"model\.onnx .*differ by 0\.01"):
        verify(VerifyInput(repo_id="alice/model"), ctx)


def test_a_file_that_was_tampered_with(world: World) -> None:
    publish(world, onnx_files(world.store, samples()))
    world.edit("alice/model", "model.onnx", b"other weights")
    with world.ctx() as ctx, pytest.raises(VerifyError, match=r"model\.onnx differs") as caught:
        verify(VerifyInput(repo_id="alice/model"), ctx)
    assert "publish again" in caught.value.hint


def test_a_repository_that_is_not_there(world: World) -> None:
    with world.ctx() as ctx, pytest.raises(HubError, match="alice/none"):
        verify(VerifyInput(repo_id="alice/none"), ctx)


def test_ctrl_c_leaves_no_process(world: World) -> None:
    publish(world, onnx_files(world.store, samples()))

    def interrupt(_what: str, _done: int, _total: int) -> None:
        raise KeyboardInterrupt

    import psutil

    with world.ctx() as ctx:
        ctx = Context(ctx.store, ctx.scratch, interrupt, ctx.endpoint, ctx.token)
        with pytest.raises(KeyboardInterrupt):
            verify(VerifyInput(repo_id="alice/model"), ctx)
    commands = [" ".join(p.cmdline()) for p in psutil.Process().children(recursive=True)]
    assert not [command for command in commands if "verify_worker" in command]


@pytest.fixture(name="both")
def _both(tmp_path: Path, world: World) -> dict[str, bytes]:
    """A repository's files, both formats and FP32 weights beside them, with the logits that each
    gives alone and unpadded."""
    pytest.importorskip("neural_compressor")
    import numpy as np
    from transformers import AutoTokenizer

    from hubkit.backends import neural_compressor
    from hubkit.recipe import IncStatic

    base, int8 = make_tiny_model(tmp_path / "base"), tmp_path / "int8"
    tokenizer = AutoTokenizer.from_pretrained(base)

    def arrays(text: str) -> dict[str, NDArray[np.int64]]:
        made = tokenizer([text], truncation=True, max_length=MAX_LENGTH, return_tensors="np")
        return {name: array.astype(np.int64) for name, array in made.items()}

    spec = IncStatic(kind="inc-static")
    neural_compressor.static.quantize(base, int8, spec, [arrays(text) for text in SENTENCES])
    session = neural_compressor.runtime.load(int8, "pytorch_model.bin", threads=1)

    def logits(text: str) -> dict[str, tuple[float, ...]]:
        total = float(arrays(text)["input_ids"].sum())
        pytorch = tuple(session.run(arrays(text))["logits"][0].tolist())
        return {"onnx": (total, -total), "pytorch": pytorch}

    recorded = tuple(
        Sample(row=row, primary=text, logits=logits(text)) for row, text in enumerate(SENTENCES)
    )
    files = {p.name: p.read_bytes() for p in int8.iterdir() if p.suffix in (".json", ".bin")}
    files["vocab.txt"] = (base / "vocab.txt").read_bytes()
    files["model.safetensors"] = (base / "model.safetensors").read_bytes()
    files["results.json"] = report_of(recorded).model_dump_json(by_alias=True).encode()
    files["model.onnx"] = onnx_files(world.store, ())["model.onnx"]
    return files


def test_both_formats_of_a_private_revision_and_fp32_in_disguise(
    world: World, both: dict[str, bytes]
) -> None:
    """INCModel takes safetensors first and says nothing: verify does."""
    fp32 = both.pop("model.safetensors")
    bundle = publish(world, both, private=True)
    good = world.hub().head("alice/model")
    del both["model.onnx"]
    publish(world, both, private=True)
    told: list[str] = []
    with world.ctx() as ctx:
        ctx = Context(
            ctx.store,
            ctx.scratch,
            lambda what, _done, _total: told.append(what),
            ctx.endpoint,
            ctx.token,
        )
        done = verify(VerifyInput(repo_id="alice/model", revision=good, bundle=bundle), ctx)
        assert (ctx.scratch / "hf-home" / "hub" / "models--alice--model").is_dir()
    assert done.revision == good
    assert done.files == len(bundle.files) - 1
    assert done.complete
    onnx, pytorch = done.formats
    assert (onnx.format, onnx.samples, onnx.max_abs_logit_diff) == ("onnx", len(SENTENCES), 0.0)
    assert pytorch.max_abs_logit_diff is not None
    assert pytorch.max_abs_logit_diff <= 1e-3
    assert pytorch.quantized_modules
    assert told[0] == "downloading"

    world.edit("alice/model", "model.safetensors", fp32)
    with world.ctx() as ctx, pytest.raises(VerifyError, match="is FP32") as caught:
        verify(VerifyInput(repo_id="alice/model"), ctx)
    assert "safetensors" in caught.value.hint


def test_without_neural_compressor_it_says_what_it_did_not_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hubkit.verify_worker.find_spec", lambda _name: None)
    check = check_pytorch(Place(repo_id="a/b", revision="main"), report_of(samples("pytorch")))
    assert not check.checked
    assert "hubkit[inc] is not installed" in check.reason


def folder_with(tmp_path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_sums(tmp_path: Path) -> None:
    sums = {"a": digest_of_bytes(b"a")}
    text = format_sums(sums).encode()
    folder = folder_with(tmp_path, {"a": b"a", "notes.md": b"mine", "SHA256SUMS": text})
    assert check_sums(folder, None) == sums
    assert check_sums(folder, {**sums, "SHA256SUMS": digest_of_bytes(text)}) == sums
    with pytest.raises(VerifyError, match="SHA256SUMS differs from what was pushed"):
        check_sums(folder, {**sums, "SHA256SUMS": "0" * 64})
    with pytest.raises(VerifyError, match="b is missing, though it is in what was pushed"):
        check_sums(folder, {**sums, "b": "0" * 64})
    (folder / "a").write_bytes(b"A")
    with pytest.raises(VerifyError, match="a differs from SHA256SUMS"):
        check_sums(folder, None)
    (folder / "a").unlink()
    with pytest.raises(VerifyError, match="a is missing, though it is in SHA256SUMS"):
        check_sums(folder, None)
    (folder / "SHA256SUMS").write_bytes(b"rubbish")
    with pytest.raises(VerifyError, match=r"cannot be read: .*line 1"):
        check_sums(folder, None)
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(VerifyError, match="no SHA256SUMS"):
        check_sums(folder, None)


@pytest.mark.parametrize(
    ("text", "what"),
    [(b"{}", "not of the form"), (b"\xff", "not of the form"), (None, "no samples")],
)
def test_results_that_say_nothing(tmp_path: Path, text: bytes | None, what: str) -> None:
    text = report_of(()).model_dump_json(by_alias=True).encode() if text is None else text
    folder = folder_with(tmp_path, {"results.json": text})
    with pytest.raises(VerifyError, match=what):
        read_report(folder, {"results.json": "0" * 64})
    with pytest.raises(VerifyError, match=r"names no results\.json"):
        read_report(folder, {})


def test_compare() -> None:
    recorded = samples()
    exact = [logits_of(text) for text in TEXTS]
    assert compare("onnx", recorded, exact) == 0.0
    near = [(a + 0.5e-4, b) for a, b in exact]
    assert compare("onnx", recorded, near) == pytest.approx(0.5e-4, rel=1e-6)
    off = [(a, b + 0.9e-3) for a, b in exact]
    with pytest.raises(VerifyError, match=r"at most 0\.0001 is right"):
        compare("onnx", recorded, off)
    assert compare("pytorch", samples("pytorch"), off) == pytest.approx(0.9e-3)
    with pytest.raises(VerifyError, match=r"at most 0\.001 is right"):
        compare("pytorch", samples("pytorch"), [(a, b + 1.1e-3) for a, b in exact])
    with pytest.raises(VerifyError, match="row 1 differ by inf"):
        compare("onnx", recorded, [exact[0], (math.nan, 0.0), *exact[2:]])
    with pytest.raises(VerifyError, match="4 of 4 predictions differ"):
        compare("onnx", recorded, [(b, a) for a, b in exact])
    with pytest.raises(VerifyError, match="gives 3 logits, and 2 were recorded"):
        compare("onnx", recorded, [(*pair, 0.0) for pair in exact])
