"""The demo overlay: merged, validated, and with the lines of what stands below `demo:`."""

from __future__ import annotations

from tests.recipe.conftest import Faults, Load

DEMO = """\
evaluation: {batch_size: 8, max_length: 64, samples: 10}
benchmark: {batch_sizes: [1, 2, 3], input_lengths: [32], rounds: 5}
demo:
  base:
    source: local
    id: null
    path: model
  labels: {2: NEUTRAL}
  evaluation: {max_length: 96, samples: null}
  benchmark: {batch_sizes: [7]}
"""


def test_mappings_merge_and_all_else_replaces(load: Load, tmp_path: object) -> None:
    del tmp_path
    demo = DEMO.replace("source: local", "source: hub").replace("id: null", "id: demo/x")
    recipe = load(more=demo.replace("    path: model\n", ""), demo=True).recipe
    assert recipe.base.model_dump() == {"source": "hub", "id": "demo/x", "revision": "main"}
    assert recipe.labels == {"0": "NEGATIVE", "1": "POSITIVE", "2": "NEUTRAL"}
    assert recipe.evaluation.batch_size == 8  # kept
    assert recipe.evaluation.max_length == 96  # replaced
    assert recipe.evaluation.samples is None  # reset
    assert recipe.benchmark.batch_sizes == (7,)  # a list replaces
    assert recipe.benchmark.rounds == 5
    assert recipe.demo is None


def test_without_demo_the_overlay_does_nothing(load: Load) -> None:
    loaded = load(more=DEMO)
    assert loaded.recipe.evaluation.max_length == 64
    assert loaded.recipe.demo is not None
    assert not loaded.demo


def test_null_resets_to_the_default_even_where_there_is_nothing(load: Load) -> None:
    more = "evaluation: {batch_size: 8}\ndemo: {evaluation: null, gates: {prefer: null}}\n"
    recipe = load(more=more, demo=True).recipe
    assert recipe.evaluation.batch_size == 32
    assert recipe.gates.prefer == "fastest"


def test_lines_inside_the_demo(faults: Faults) -> None:
    more = """\
gates:
  metric: f1
demo:
  evaluation:
    max_lenght: 9
    batch_size: no
  gates:
    prefr: null
  benchmark: {rounds: 0, threads: x}
  dataset:
    path: null
  labels: {0: A, 0: B}
  demo: {}
"""
    assert faults(more=more, demo=True) == [
        "r.yaml:23: demo.evaluation.max_lenght: unknown key, did you mean max_length?",
        "r.yaml:24: demo.evaluation.batch_size: expected a whole number, found false"
        " (which is how YAML reads no)",
        "r.yaml:26: demo.gates.prefr: unknown key, did you mean prefer?",
        "r.yaml:27: demo.benchmark.rounds: expected at least 1, found 0",
        'r.yaml:27: demo.benchmark.threads: expected a whole number, found "x"',
        "r.yaml:28: demo.dataset.path: missing key: Hub id, or a path relative to the recipe file",
        "r.yaml:30: demo.labels.0: the key is given twice (first on line 30)",
        "r.yaml:31: demo.demo: a demo cannot hold a demo",
    ]


def test_faults_outside_the_demo_keep_their_line(faults: Faults) -> None:
    demo = "demo:\n  evaluation: {max_length: 64}\n"
    assert faults(("per_channel", "per_chanel"), more=demo, demo=True) == [
        "r.yaml:14: variants[1].per_chanel: unknown key, did you mean per_channel?"
    ]


def test_what_the_demo_makes_wrong_together(faults: Faults) -> None:
    (found,) = faults(more="demo:\n  evaluation:\n    metrics: [f1]\n", demo=True)
    assert found.startswith("r.yaml:21: demo.evaluation.metrics: the gate holds accuracy")


def test_a_recipe_without_a_demo(faults: Faults) -> None:
    (found,) = faults(demo=True)
    assert found == "r.yaml: this recipe has no demo: mapping, so it cannot run with --demo"


def test_the_demo_changes_the_digest_and_the_notes(load: Load, tmp_path: object) -> None:
    del tmp_path
    demo = "demo: {evaluation: {max_length: 256}}\n"
    plain, merged = load(more=demo), load(more=demo, demo=True)
    assert plain.digest != merged.digest
    assert merged.digest == load(more="evaluation: {max_length: 256}\n").digest
    folder = plain.folder
    (folder / "notes.md").write_text("Real.")
    assert load(more=demo, demo=True).notes == "Real."
    (folder / "notes.demo.md").write_text("Demo.")
    assert load(more=demo, demo=True).notes == "Demo."
    assert load(more=demo).notes == "Real."
