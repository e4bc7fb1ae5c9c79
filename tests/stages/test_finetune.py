"""A base trained on rows: what comes out, that it comes out again, and after a kill too."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from hubkit.backends import training
from hubkit.errors import DataError, ModelError, StoreError
from hubkit.recipe import DatasetSpec, Finetune
from hubkit.records import BaseModelInfo, Source
from hubkit.stage import Context, Progress, no_progress
from hubkit.stages.fetch_model import FetchModelInput, fetch_model
from hubkit.stages.fetch_training import FetchTrainingInput, TrainingRows, fetch_training
from hubkit.stages.finetune import FinetunedModel, FinetuneInput, finetune, token_labels
from hubkit.stages.model_files import digest_of_model
from hubkit.stages.resolve import digest_of_data
from hubkit.store import Store
from hubkit.tasks import task_for
from hubkit.tasks.base import Rows
from tests.e2e_small.worlds import sentences
from tests.small_disk import small_disk
from tests.tiny import ENTITIES, make_tiny_model

LABELS = ("NEGATIVE", "POSITIVE")
PLAN = Finetune(epochs=2, batch_size=16, learning_rate=1e-3, max_length=32)
EVALUATION = sentences(20, seed=2)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


def _base(
    store: Store, root: Path, task: str = "text-classification", **how: object
) -> BaseModelInfo:
    folder = make_tiny_model(root / "model", task=str(how.pop("made_for", task)), **how)
    return _fetched(store, folder, task)


def _fetched(store: Store, folder: Path, task: str) -> BaseModelInfo:
    sha = digest_of_model(folder)
    source = Source(kind="model", source="local", id="model", revision="local", sha=sha)
    given = FetchModelInput(source=source, task=task, path=str(folder), head="any")  # type: ignore[arg-type]
    with store.scratch() as scratch:
        return fetch_model(given, Context(store, scratch))


@pytest.fixture(scope="module")
def encoder(store: Store, tmp_path_factory: pytest.TempPathFactory) -> BaseModelInfo:
    """A BERT without a head."""
    root = tmp_path_factory.mktemp("encoder")
    return _base(store, root, model_type="bert", made_for="feature-extraction")


def _label(text: str) -> int:
    return int("good" in text or "love" in text or "great" in text)


def _fetch(
    store: Store, root: Path, train: Sequence[tuple[str | None, object]], **how: object
) -> TrainingRows:
    root.mkdir(exist_ok=True)
    splits = {"train": train, "validation": [(text, _label(text)) for text in EVALUATION]}
    for name, rows in splits.items():
        lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
        (root / f"{name}.jsonl").write_text("\n".join(lines))
    sha = digest_of_data(root)
    given = FetchTrainingInput(
        source=Source(kind="dataset", source="local", id="data", revision="local", sha=sha),
        spec=DatasetSpec(
            source="local", path="data", data_keys={"primary": "text"}, ref_keys=("label",)
        ),
        split="train",
        task="text-classification",
        labels={"0": "NEGATIVE", "1": "POSITIVE"},
        model_labels=LABELS,
        seed=3,
        path=str(root),
    ).model_copy(update=how)
    with store.scratch() as scratch:
        return fetch_training(given, Context(store, scratch))


@pytest.fixture(scope="module")
def rows(store: Store, tmp_path_factory: pytest.TempPathFactory) -> TrainingRows:
    texts = sentences(96, seed=1)
    return _fetch(store, tmp_path_factory.mktemp("rows"), [(t, _label(t)) for t in texts])


def _finetune(
    store: Store,
    base: BaseModelInfo,
    rows: TrainingRows,
    plan: Finetune = PLAN,
    progress: Progress = no_progress,
) -> FinetunedModel:
    given = FinetuneInput(
        base=base, rows=rows, plan=plan, task="text-classification", labels=LABELS
    )
    with store.scratch() as scratch:
        return finetune(given, Context(store, scratch, progress))


def test_rows_of_the_evaluation_split_are_never_trained_on(store: Store, tmp_path: Path) -> None:
    own = [("a good film", 1), ("a dull one", 0)]
    shared = [(text, _label(text)) for text in EVALUATION[:5]]
    found = _fetch(store, tmp_path / "data", [*own, *shared, (None, 1), ("no label", -1)])
    assert (found.rows, found.rows_available) == (2, 9)
    assert (found.overlapping, found.unusable) == (5, 2)
    from pyarrow import parquet

    table = parquet.read_table(store.path(found.artifact) / "training.parquet")
    assert table["primary"].to_pylist() == ["a good film", "a dull one"]
    assert table["label"].to_pylist() == [1, 0]


def test_a_copy_in_other_spacing_or_case_is_no_other_row(store: Store, tmp_path: Path) -> None:
    own = [("a good film", 1), ("a dull one", 0)]
    copies = [(f" {EVALUATION[0].upper()}\n", 1), (EVALUATION[1].replace(" ", "  "), 0)]
    found = _fetch(store, tmp_path / "data", [*own, *copies, copies[0]])
    assert (found.rows, found.overlapping) == (2, 3)


def test_a_split_that_is_wholly_evaluated_on_is_refused(store: Store, tmp_path: Path) -> None:
    shared = [(text, _label(text)) for text in EVALUATION]
    with pytest.raises(DataError, match="no row to train on"):
        _fetch(store, tmp_path / "data", shared)


def test_a_split_that_is_not_there_is_told_with_its_key(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no split trian, did you mean train") as caught:
        _fetch(store, tmp_path / "data", [("a dull one", 0)], split="trian")
    assert "base.finetune.split" in caught.value.hint


def test_a_label_without_rows_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DataError, match='no row with the label "POSITIVE"'):
        _fetch(store, tmp_path / "data", [("a dull one", 0)])


def test_samples_are_drawn_with_the_seed(store: Store, tmp_path: Path) -> None:
    rows = [(f"{text} {at}", at % 2) for at, text in enumerate(sentences(50, seed=4))]
    some = [_fetch(store, tmp_path / "data", rows, samples=20, seed=seed) for seed in (1, 1, 2)]
    assert [one.rows for one in some] == [20, 20, 20]
    assert some[0] == some[1]
    assert some[0].artifact != some[2].artifact


def test_each_epoch_has_every_row_once_in_an_order_of_its_own() -> None:
    batches = training.batches_of([1, 5, 2, 2, 9, 1, 3], size=2, epochs=3, seed=1)
    epochs = [batches[at : at + 4] for at in (0, 4, 8)]
    for epoch in epochs:
        assert sorted(row for batch in epoch for row in batch) == list(range(7))
    assert epochs[0] != epochs[1]
    assert batches == training.batches_of([1, 5, 2, 2, 9, 1, 3], size=2, epochs=3, seed=1)
    assert batches != training.batches_of([1, 5, 2, 2, 9, 1, 3], size=2, epochs=3, seed=2)


def test_an_encoder_gets_a_head_and_learns(
    store: Store, encoder: BaseModelInfo, rows: TrainingRows
) -> None:
    plan = PLAN.model_copy(update={"epochs": 5, "learning_rate": 3e-3})
    made = _finetune(store, encoder, rows, plan)
    folder = store.path(made.base.artifact)
    assert made.base.architecture == "BertForSequenceClassification"
    assert made.base.labels == LABELS
    assert (made.done.head, made.done.rows) == ("new", rows.rows)
    assert made.done.steps == 5 * -(-rows.rows // 16)
    first = _finetune(store, encoder, rows, plan.model_copy(update={"epochs": 1}))
    assert made.done.loss < 0.9 * first.done.loss
    config = json.loads((folder / "config.json").read_text())
    assert config["id2label"] == {"0": "NEGATIVE", "1": "POSITIVE"}
    # Nothing of this machine, and no state of the training.
    assert "_name_or_path" not in config
    assert {p.name for p in folder.iterdir()} == {f.path for f in encoder.artifact.files}
    tokenizer = (folder / "tokenizer.json").read_bytes()
    assert tokenizer == (store.path(encoder.artifact) / "tokenizer.json").read_bytes()
    _, told = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    assert not list((store.root / "checkpoints").iterdir())


class _Killed(BaseException):
    """What ends a process leaves no time to tidy up."""


@pytest.fixture(scope="module")
def whole(store: Store, encoder: BaseModelInfo, rows: TrainingRows) -> FinetunedModel:
    """What an undisturbed run gives."""
    return _finetune(store, encoder, rows)


@pytest.fixture(name="kill")
def _kill(
    store: Store, encoder: BaseModelInfo, rows: TrainingRows, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], Path]:
    """Kill a run that keeps each step's checkpoint at the end of a step; gives their folder."""
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)

    def kill(at: int) -> Path:
        def progress(what: str, done: int, total: int) -> None:
            if done == at and total:
                raise _Killed

        with pytest.raises(_Killed):
            _finetune(store, encoder, rows, progress=progress)
        (kept,) = (store.root / "checkpoints").iterdir()
        return kept

    return kill


def test_a_killed_run_ends_with_the_weights_of_an_undisturbed_one(
    store: Store,
    encoder: BaseModelInfo,
    rows: TrainingRows,
    whole: FinetunedModel,
    kill: Callable[[int], Path],
) -> None:
    kill(3)  # in the first epoch
    kept = kill(9)  # in the second
    assert {p.name for p in kept.iterdir()} == {"checkpoint-7", "checkpoint-8"}
    # As a kill while it is written leaves it, and as a machine that lost its power may.
    (kept / "checkpoint-9").mkdir()
    (kept / "checkpoint-9" / "model.safetensors").write_bytes(b"half")
    _cut(kept / "checkpoint-8" / "optimizer.pt")
    heard: list[tuple[str, int]] = []
    again = _finetune(store, encoder, rows, progress=lambda what, at, _: heard.append((what, at)))
    assert again == whole
    steps = [(what, at) for what, at in heard if at]
    assert steps[:2] == [("redoing lost steps", 8), ("redoing lost steps", 9)]
    assert steps[2] == ("fine-tuning", 10)
    assert not list((store.root / "checkpoints").iterdir())


@pytest.mark.conformance
def test_without_a_whole_checkpoint_it_begins_anew(
    store: Store,
    encoder: BaseModelInfo,
    rows: TrainingRows,
    whole: FinetunedModel,
    kill: Callable[[int], Path],
) -> None:
    kept = kill(9)
    _cut(kept / "checkpoint-7" / "model.safetensors")
    _cut(kept / "checkpoint-8" / "seal.json")
    heard: list[tuple[str, int]] = []
    again = _finetune(store, encoder, rows, progress=lambda what, at, _: heard.append((what, at)))
    assert again == whole
    steps = [(what, at) for what, at in heard if at]
    assert steps[:8] == [("redoing lost steps", at) for at in range(1, 9)]
    assert steps[8] == ("fine-tuning", 9)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.conformance
@pytest.mark.parametrize("end", ["Model", "ForMaskedLM"])
@pytest.mark.parametrize(
    "name", ["Bert", "DistilBert", "Roberta", "XLMRoberta", "Electra", "MPNet", "DebertaV2"]
)
def test_any_of_the_architectures_gets_a_head(
    store: Store, rows: TrainingRows, tmp_path: Path, name: str, end: str
) -> None:
    folder = make_tiny_model(tmp_path / "model", model_type="bert", task="feature-extraction")
    plain = json.loads((folder / "config.json").read_text())
    sizes = {
        key: plain[key]
        for key in (
            *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
            *("intermediate_size", "max_position_embeddings"),
        )
    }
    config = getattr(transformers, f"{name}Config")(**sizes, pad_token_id=0)
    model = getattr(transformers, f"{name}{end}")(config)
    model.save_pretrained(folder)
    base = _fetched(store, folder, "text-classification")
    still = Finetune(epochs=1, batch_size=64, learning_rate=1e-9, max_length=32)
    made = _finetune(store, base, rows, still)
    assert made.base.architecture == f"{name}ForSequenceClassification"
    after = AutoModelForSequenceClassification.from_pretrained(store.path(made.base.artifact))
    before, found = model.base_model.state_dict(), after.base_model.state_dict()
    assert set(found) - set(before) <= {"pooler.dense.weight", "pooler.dense.bias"}
    for key in set(found) & set(before):
        assert torch.allclose(before[key], found[key], atol=1e-6), key


@pytest.mark.conformance
def test_a_full_disk_keeps_what_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = sentences(160, seed=1)
    with small_disk(tmp_path / "home", "16m"):
        store = Store(tmp_path / "home")
        base = _base(store, tmp_path, model_type="bert", made_for="feature-extraction")
        rows = _fetch(store, tmp_path / "data", [(t, _label(t)) for t in texts])
        whole = _finetune(store, base, rows)
        monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
        ballast = store.root / "ballast"

        def progress(what: str, done: int, total: int) -> None:
            if done == 6:
                ballast.write_bytes(bytes(shutil.disk_usage(store.root).free - 20_000))

        with pytest.raises(StoreError, match="no space left on the disk"):
            _finetune(store, base, rows, progress=progress)
        ballast.unlink()
        heard: list[tuple[str, int]] = []
        again = _finetune(store, base, rows, progress=lambda what, at, _: heard.append((what, at)))
    assert again == whole
    assert next(one for one in heard if one[1]) == ("redoing lost steps", 6)


@pytest.mark.conformance
def test_another_seed_gives_other_weights(
    store: Store, encoder: BaseModelInfo, rows: TrainingRows
) -> None:
    short = PLAN.model_copy(update={"epochs": 1})
    one = _finetune(store, encoder, rows, short)
    other = _finetune(store, encoder, rows, short.model_copy(update={"seed": 14}))
    weights = [
        load_file(store.path(made.base.artifact) / "model.safetensors") for made in (one, other)
    ]
    assert not torch.equal(weights[0]["classifier.weight"], weights[1]["classifier.weight"])


def test_a_head_for_the_same_labels_is_kept(
    store: Store, rows: TrainingRows, tmp_path: Path
) -> None:
    base = _base(store, tmp_path)
    assert base.labels == LABELS
    still = Finetune(epochs=1, batch_size=64, learning_rate=1e-9, max_length=32)
    made = _finetune(store, base, rows, still)
    assert made.done.head == "kept"
    before = load_file(store.path(base.artifact) / "model.safetensors")
    after = load_file(store.path(made.base.artifact) / "model.safetensors")
    assert torch.allclose(before["classifier.weight"], after["classifier.weight"], atol=1e-6)


def test_a_head_for_other_labels_is_replaced(
    store: Store, rows: TrainingRows, tmp_path: Path
) -> None:
    base = _base(store, tmp_path, labels=("ENTAILMENT", "CONTRADICTION"))
    still = Finetune(epochs=1, batch_size=64, learning_rate=1e-9, max_length=32)
    made = _finetune(store, base, rows, still)
    assert (made.done.head, made.base.labels) == ("new", LABELS)
    before = load_file(store.path(base.artifact) / "model.safetensors")
    after = load_file(store.path(made.base.artifact) / "model.safetensors")
    assert not torch.allclose(before["classifier.weight"], after["classifier.weight"], atol=1e-2)
    name = "distilbert.transformer.layer.1.ffn.lin1.weight"
    assert torch.allclose(before[name], after[name], atol=1e-6)


def test_rows_longer_than_the_model_takes_are_refused(
    store: Store, encoder: BaseModelInfo, rows: TrainingRows
) -> None:
    with pytest.raises(ModelError, match="512 tokens, and the model takes at most 64"):
        _finetune(store, encoder, rows, PLAN.model_copy(update={"max_length": 512}))


def test_a_run_that_diverges_ends_in_the_step_where_it_does(
    store: Store, rows: TrainingRows, tmp_path: Path
) -> None:
    base = _base(store, tmp_path, model_type="bert", made_for="feature-extraction")
    folder = tmp_path / "model"
    weights = load_file(folder / "model.safetensors")
    weights["embeddings.word_embeddings.weight"].fill_(float("inf"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with store.scratch() as scratch:
        shutil.copytree(folder, scratch / "ruined")
        artifact = store.adopt(scratch / "ruined")
    base = base.model_copy(update={"artifact": artifact})
    with pytest.raises(ModelError, match="diverged in step 1:"):
        _finetune(store, base, rows)
    assert not list((store.root / "checkpoints").iterdir())


def test_weights_that_the_last_step_ruins_are_refused(
    store: Store, encoder: BaseModelInfo, rows: TrainingRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ruined(model: torch.nn.Module, *_: object) -> training.Trained:
        with torch.no_grad():
            next(model.parameters()).fill_(float("nan"))
        return training.Trained(1, 0.5)

    monkeypatch.setattr("hubkit.stages.finetune.train", ruined)
    with pytest.raises(ModelError, match="diverged in the last step"):
        _finetune(store, encoder, rows)
    assert not list((store.root / "checkpoints").iterdir())


def test_a_head_without_weights_is_not_made_up(
    store: Store, rows: TrainingRows, tmp_path: Path
) -> None:
    base = _base(store, tmp_path)
    folder = tmp_path / "model"
    weights = load_file(folder / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with store.scratch() as scratch:
        shutil.copytree(folder, scratch / "headless")
        artifact = store.adopt(scratch / "headless")
    with pytest.raises(ModelError, match=r"no weights for classifier\.weight"):
        _finetune(store, base.model_copy(update={"artifact": artifact}), rows)


def test_the_label_of_a_word_is_that_of_its_first_token(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model")
    words = [["a", "xylophone", "film"], ["good"]]
    rows = Rows(columns={"primary": words}, references=[[1, 2, 3], [4]])
    made = task_for("token-classification").encode(rows, folder, max_length=32)
    labels = token_labels(made)
    assert [len(one) for one in labels] == [len(ids) for ids in made.ids]
    # [CLS] a x ##y ... film [SEP]
    assert [label for label in labels[0] if label != training.NO_LABEL] == [1, 2, 3]
    assert labels[0][:3] == [training.NO_LABEL, 1, 2]
    assert labels[0][-2:] == [3, training.NO_LABEL]
    assert len(labels[0]) > 6
    assert labels[1] == [training.NO_LABEL, 4, training.NO_LABEL]


def test_words_are_trained_on_by_their_first_token(store: Store, tmp_path: Path) -> None:
    base = _base(store, tmp_path, task="token-classification", made_for="feature-extraction")
    data = tmp_path / "data"
    data.mkdir()
    for name, seed in (("train", 5), ("validation", 6)):
        lists = [text.split() for text in sentences(40, seed)]
        # Rows without a word to learn: a batch of such alone has no loss.
        lists += [[], [], ["\u200b"]] if name == "train" else []
        lines = [{"words": words, "tags": [int(len(w) > 4) for w in words]} for words in lists]
        (data / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    given = FetchTrainingInput(
        source=Source(
            kind="dataset", source="local", id="d", revision="local", sha=digest_of_data(data)
        ),
        spec=DatasetSpec(
            source="local", path="data", data_keys={"primary": "words"}, ref_keys=("tags",)
        ),
        split="train",
        task="token-classification",
        labels={"0": ENTITIES[0], "1": ENTITIES[1]},
        model_labels=ENTITIES[:2],
        seed=1,
        path=str(data),
    )
    with store.scratch() as scratch:
        rows = fetch_training(given, Context(store, scratch))
        made = finetune(
            FinetuneInput(
                base=base,
                rows=rows,
                plan=Finetune(epochs=1, batch_size=2, max_length=32),
                task="token-classification",
                labels=ENTITIES[:2],
            ),
            Context(store, scratch),
        )
    assert made.base.architecture == "DistilBertForTokenClassification"
    assert made.done.head == "new"
    assert (made.done.rows, made.done.unusable, made.done.rows_available) == (40, 3, 43)
    assert AutoModelForTokenClassification.from_pretrained(store.path(made.base.artifact))
