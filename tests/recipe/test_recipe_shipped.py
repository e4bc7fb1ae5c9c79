"""The shipped recipes: valid both ways, honest both ways."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from hubkit.recipe import BuiltModel, HubModel, IncStatic, OnnxStatic, Project, Prune
from hubkit.recipe_file import check_labels, load_recipe, open_points, shipped_recipes

NAME, NER, MINI = "distilbert-sst2", "distilbert-conll03", "minilm-sst2"
EMBED = "distilbert-embeddings"
TAGS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC")
# What is never said of a demo's model.
REAL = {NAME: r"distilbert[- ]base|sst-?2", NER: r"distilbert[- ]base|elastic"}
# What a demo says in the words of the real recipe, because it is true of both.
SHARED = {
    NAME: {".details.date"},
    NER: {  # the sentences are the same
        ".details.date",
        ".ethics.data",
        ".ethics.human_life",
        ".factors.environment",
        ".factors.groups",
        ".factors.instrumentation",
    },
}


def _texts(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _texts(below, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, below in enumerate(value):
            yield from _texts(below, f"{path}[{index}]")
    elif isinstance(value, str):
        yield path, value


@pytest.mark.parametrize("demo", [False, True])
@pytest.mark.parametrize("name", shipped_recipes())
def test_it_is_valid_and_complete(name: str, demo: bool) -> None:
    loaded = load_recipe(name, demo=demo)
    assert loaded.recipe.name == name
    assert len(loaded.notes.split()) > 50
    assert open_points(loaded) == ()
    sections = loaded.recipe.card.model_dump()
    empty = [path for path, text in _texts(sections) if not text.strip()]
    assert not empty
    for section in ("intended_use", "factors", "metrics", "data", "ethics"):
        missing = [key for key, value in sections[section].items() if value is None]
        assert not missing, section
    assert loaded.recipe.card.caveats
    assert len(loaded.recipe.card.details.authors) > 1


def test_what_the_real_one_publishes() -> None:
    recipe = load_recipe(NAME).recipe
    assert isinstance(recipe.base, HubModel)
    assert recipe.base.id == "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
    assert (recipe.dataset.path, recipe.dataset.eval_split) == ("stanfordnlp/sst2", "validation")
    assert recipe.dataset.calibration_split == "train"
    assert [v.name for v in recipe.variants] == [
        "onnx-int8-dynamic",
        "onnx-int8-static",
        "pytorch-int8-static",
    ]
    static = [v for v in recipe.variants if isinstance(v, OnnxStatic | IncStatic)]
    samples = [v.calibration.num_samples for v in static]
    assert samples == [100, 100]


def test_what_the_demo_publishes() -> None:
    loaded = load_recipe(NAME, demo=True)
    recipe = loaded.recipe
    check_labels(loaded, ("NEGATIVE", "POSITIVE"))
    assert recipe.base == BuiltModel(
        source="built",
        id="demo/minilm-l6-distilbert-movie-sentiment",
        builder="movie-sentiment",
    )
    assert (recipe.dataset.path, recipe.dataset.eval_split) == (
        "demo/movie-review-sentences",
        "test",
    )
    assert recipe.evaluation.samples is None
    assert recipe.publication.repo_id == "demo/minilm-l6-distilbert-movie-sentiment-int8"
    plan = recipe.benchmark
    assert (plan.batch_sizes, plan.input_lengths) == ((1, 8), (32, 128))
    assert (plan.min_seconds, plan.rounds) == (0.5, 3)


def test_what_the_real_tagger_publishes() -> None:
    loaded = load_recipe(NER)
    recipe = loaded.recipe
    assert isinstance(recipe.base, HubModel)
    assert recipe.base.id == "elastic/distilbert-base-uncased-finetuned-conll03-english"
    assert recipe.task == "token-classification"
    check_labels(loaded, TAGS)
    dataset = recipe.dataset
    assert (dataset.path, dataset.eval_split) == ("eriktks/conll2003", "validation")
    assert (dataset.data_keys, dataset.ref_keys) == ({"primary": "tokens"}, ("ner_tags",))
    assert not dataset.redistributable
    assert recipe.evaluation.metrics == ("precision", "recall", "f1", "accuracy")
    assert recipe.gates.metric == "f1"
    assert [v.kind for v in recipe.variants] == ["onnx-dynamic", "onnx-static", "inc-static"]


def test_what_the_demo_of_the_tagger_publishes() -> None:
    loaded = load_recipe(NER, demo=True)
    recipe = loaded.recipe
    check_labels(loaded, TAGS)
    assert recipe.base == BuiltModel(
        source="built", id="demo/minilm-l6-distilbert-conll03", builder="conll-ner"
    )
    assert (recipe.dataset.source, recipe.dataset.path) == ("built", "conll2003")
    assert not recipe.dataset.redistributable
    assert recipe.evaluation.samples is None
    assert recipe.publication.repo_id == "demo/minilm-l6-distilbert-conll03-int8"
    # All else than the time that is spent on it is the sweep of the real recipe.
    real = load_recipe(NER).recipe.sweep
    assert real is not None
    assert recipe.sweep is not None
    assert (real.time_benchmark_args.duration, recipe.sweep.time_benchmark_args.duration) == (15, 3)
    same = recipe.sweep.model_copy(update={"time_benchmark_args": real.time_benchmark_args})
    assert same == real


def test_the_sweep_of_the_tagger_is_that_of_the_reference_report() -> None:
    sweep = load_recipe(NER).recipe.sweep
    assert sweep is not None
    assert sweep.quantization_approach == ("dynamic", "static")
    assert sweep.operators_to_quantize == (("Add",), ("Add", "MatMul"))
    assert sweep.node_exclusion == (
        (),
        ("layernorm", "gelu", "residual", "gather", "softmax"),
    )
    assert sweep.per_channel == (False,)
    assert sweep.guards == (True, False)
    assert sweep.calibration.method == ("minmax",)
    assert sweep.calibration.num_calibration_samples == (100,)
    assert sweep.framework_args.opset == (None,)
    assert sweep.framework_args.optimization_level == (0,)
    assert (sweep.batch_sizes, sweep.input_lengths) == ((1, 4, 8), (32, 64, 128))


def test_the_sweep_of_the_classifier() -> None:
    sweep = load_recipe(NAME, demo=True).recipe.sweep
    assert sweep is not None
    assert sweep.operators_to_quantize == (("MatMul", "Gemm"), ("MatMul", "Gemm", "Gather"))
    assert sweep.node_exclusion == (("attention-matmul",),)
    assert sweep.per_channel == (True, False)
    assert sweep.time_benchmark_args.duration == 2


@pytest.mark.parametrize("name", [NAME, NER])
def test_the_demo_never_passes_for_the_real_model(name: str) -> None:
    real, demo = load_recipe(name), load_recipe(name, demo=True)
    content = demo.recipe.model_dump(exclude={"name"})
    for path, text in (*_texts(content), ("notes", demo.notes)):
        assert not re.search(REAL[name], text, re.IGNORECASE), path
    said = (
        " ".join(demo.recipe.card.data.datasets.split()) if demo.recipe.card.data.datasets else ""
    )
    assert "MiniLM-L6 weights in the DistilBERT architecture" in said
    assert "fine-tuned on the spot by hubkit" in said
    # Nothing that was said about the real model is left standing for the demo by accident.
    both = dict(_texts(real.recipe.card.model_dump()))
    same = {p for p, t in _texts(demo.recipe.card.model_dump()) if both.get(p) == t}
    assert same == SHARED[name]


def test_the_words_of_the_taggers_demo_are_true_to_its_builder() -> None:
    from hubkit.demo.conll_ner import HOW
    from hubkit.demo.materials import CONLL, MINILM

    loaded = load_recipe(NER, demo=True)
    data = loaded.recipe.card.data
    assert HOW.epochs == 1
    assert f"in one pass over {HOW.rows:,} sentences" in " ".join(loaded.notes.split())
    assert f"on the {HOW.rows:,} sentences of the training split" in (data.datasets or "")
    assert f"package {CONLL.package} {CONLL.version}" in (data.datasets or "")
    assert f"package {MINILM.package} {MINILM.version}" in (data.motivation or "")


@pytest.mark.parametrize("demo", [False, True])
@pytest.mark.parametrize("name", [NAME, NER, MINI, EMBED])
def test_the_bibtex_parses(name: str, demo: bool) -> None:
    bibtex = load_recipe(name, demo=demo).recipe.card.bibtex
    assert bibtex is not None
    entry = re.compile(
        r"@(\w+)\{([\w:-]+),\n((?:\s+\w+ = \{(?:[^{}]|\{[^{}]*\})*\},\n)+)\}\n?", re.MULTILINE
    )
    keys = [match[2] for match in entry.finditer(bibtex)]
    assert entry.sub("", bibtex) == ""
    assert len(keys) == len(set(keys)) >= 2


@pytest.mark.parametrize("demo", [False, True])
@pytest.mark.parametrize("name", [NAME, NER, MINI, EMBED])
def test_no_measured_number_is_in_the_prose(name: str, demo: bool) -> None:
    card = load_recipe(name, demo=demo).recipe.card.model_dump(exclude={"bibtex"})
    for path, text in _texts(card):
        assert not re.search(r"\b0\.\d{2,}|\d+ ?%|\d+(\.\d+)? ?(ms|MB)\b", text), path


def test_the_base_of_the_pruned_one_is_built() -> None:
    real, demo = load_recipe(MINI).recipe, load_recipe(MINI, demo=True).recipe
    assert isinstance(real.base, HubModel)
    assert real.base.id == "microsoft/MiniLM-L12-H384-uncased"
    assert isinstance(demo.base, BuiltModel)
    assert demo.base.builder == "movie-encoder"
    for base in (real.base, demo.base):
        assert base.prune == Prune(layers="every_second")
        assert base.finetune is not None
        assert base.finetune.split == "train"
    assert demo.base.finetune is not None
    assert demo.base.finetune.samples == 6000
    assert (real.dataset.eval_split, demo.dataset.eval_split) == ("validation", "test")
    assert real.sweep == demo.sweep


def test_the_demo_of_the_pruned_one_never_passes_for_the_real_model() -> None:
    real, demo = load_recipe(MINI), load_recipe(MINI, demo=True)
    content = demo.recipe.model_dump(exclude={"name"})
    for path, text in (*_texts(content), ("notes", demo.notes)):
        text = text.replace("minilm-sst2", "")  # the command
        assert not re.search(r"L12|sst-?2|microsoft", text, re.IGNORECASE), path
    both = dict(_texts(real.recipe.card.model_dump()))
    same = {p for p, t in _texts(demo.recipe.card.model_dump()) if both.get(p) == t}
    # Of the resources the two share the papers.
    assert same <= {".details.date", *(p for p in same if p.startswith(".details.resources"))}


def test_the_base_of_the_embeddings_is_given_a_projection() -> None:
    real, demo = load_recipe(EMBED).recipe, load_recipe(EMBED, demo=True).recipe
    assert isinstance(real.base, HubModel)
    assert real.base.id == "distilbert/distilbert-base-cased"
    assert real.dataset.path == "sentence-transformers/stsb"
    assert isinstance(demo.base, BuiltModel)
    assert demo.base.builder == "movie-embeddings"
    for recipe in (real, demo):
        assert recipe.task == "feature-extraction"
        assert recipe.base.project == Project(
            dimensions=96, samples=2000 if recipe is demo else None
        )
        assert recipe.dataset.ref_keys == ()
        assert recipe.gates.metric == "cosine"
    assert (real.dataset.eval_split, demo.dataset.eval_split) == ("validation", "test")
    # The demo is the same work on another base and other sentences.
    assert [v.kind for v in demo.variants] == ["onnx-dynamic", "onnx-static", "inc-dynamic"]
    assert real.variants == demo.variants
    assert real.sweep == demo.sweep


def test_the_demo_of_the_embeddings_never_passes_for_the_real_model() -> None:
    real, demo = load_recipe(EMBED), load_recipe(EMBED, demo=True)
    content = demo.recipe.model_dump(exclude={"name"})
    for path, text in (*_texts(content), ("notes", demo.notes)):
        assert not re.search(r"distilbert-base|base cased|stsb|sts ?b", text, re.IGNORECASE), path
    said = " ".join((demo.recipe.card.data.datasets or "").split())
    assert "MiniLM-L6 weights in the DistilBERT architecture" in said
    assert "fitted on the spot by hubkit to 2,000 sentences of the training" in said
    both = dict(_texts(real.recipe.card.model_dump()))
    same = {p for p, t in _texts(demo.recipe.card.model_dump()) if both.get(p) == t}
    assert same <= {".details.date", *(p for p in same if p.startswith(".details.resources"))}
