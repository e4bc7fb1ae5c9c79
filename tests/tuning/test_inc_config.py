"""Configurations of Neural Compressor: the talk's as it is, its 2.x form, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubkit.errors import RecipeError
from hubkit.recipe_inc import IncConfig, read_inc_config
from hubkit.recipe_tune import AccuracyCriterion, ExitPolicy, Tune
from hubkit.tuning_pipeline import recipe_named

TALK = """\
model:
  name: bert
  framework: pytorch

device: cpu

quantization:
  approach: post_training_dynamic_quant

tuning:
  accuracy_criterion:
    relative: 0.01
  exit_policy:
    timeout: 0
    max_trials: 1200
  random_seed: 9527
"""
PYTHON = """\
from neural_compressor.config import AccuracyCriterion, PostTrainingQuantConfig, TuningCriterion

import os; os.abort()  # this file is not run

config = PostTrainingQuantConfig(
    approach="static",
    calibration_sampling_size=[64],
    accuracy_criterion=AccuracyCriterion(criterion="absolute", tolerable_loss=0.02),
    tuning_criterion=TuningCriterion(timeout=60, max_trials=7),
)
"""


def read(folder: Path, text: str, name: str = "conf.yaml") -> IncConfig:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_inc_config(path)


def refused(folder: Path, text: str, name: str = "conf.yaml") -> str:
    with pytest.raises(RecipeError) as caught:
        read(folder, text, name)
    return caught.value.message.replace(f"{folder}/", "")


def test_the_talks_yaml_as_it_is(tmp_path: Path) -> None:
    found = read(tmp_path, TALK)
    assert found.model == "bert"
    assert found.over(Tune()) == Tune(
        framework="pytorch",
        approach="dynamic",
        accuracy_criterion=AccuracyCriterion(relative=0.01),
        exit_policy=ExitPolicy(timeout=0, max_trials=1200),
        random_seed=9527,
    )


def test_the_talks_other_spelling_is_absolute(tmp_path: Path) -> None:
    found = read(tmp_path, TALK.replace("relative: 0.01", "obsolete: 0.05"))
    assert found.over(Tune()).accuracy_criterion == AccuracyCriterion(absolute=0.05)


@pytest.mark.parametrize(
    ("framework", "engine", "approach"),
    [
        ("onnxrt_integerops", "onnxruntime", "dynamic"),
        ("onnxrt_qlinearops", "onnxruntime", "static"),
        ("pytorch", "pytorch", "auto"),
    ],
)
def test_frameworks(tmp_path: Path, framework: str, engine: str, approach: str) -> None:
    tune = read(tmp_path, f"model: {{name: a, framework: {framework}}}\ndevice: cpu\n").over(Tune())
    assert (tune.framework, tune.approach) == (engine, approach)


def test_what_is_not_said_stays_as_the_recipe_has_it(tmp_path: Path) -> None:
    own = Tune(objective="smallest", exit_policy=ExitPolicy(timeout=9, max_trials=3))
    tune = read(tmp_path, "tuning: {exit_policy: {max_trials: 5}}\nmodel: {framework: pytorch}\n")
    assert tune.over(own).objective == "smallest"
    assert tune.over(own).exit_policy == ExitPolicy(timeout=9, max_trials=5)


def test_the_fields_of_2_x(tmp_path: Path) -> None:
    text = (
        "approach: static\naccuracy_criterion: {higher_is_better: true, criterion: relative,"
        " tolerable_loss: 0.02}\ntuning_criterion: {timeout: 0, max_trials: 9, strategy: basic,"
        " objective: modelsize}\n"
    )
    tune = read(tmp_path, text).over(Tune())
    assert tune.approach == "static"
    assert tune.accuracy_criterion == AccuracyCriterion(relative=0.02)
    assert tune.exit_policy == ExitPolicy(timeout=0, max_trials=9)
    assert tune.objective == "smallest"


def test_parts_that_have_a_name_first(tmp_path: Path) -> None:
    """As in the examples of Neural Compressor's own documentation."""
    text = (
        "LOSS = 0.05\n"
        "accuracy_criterion = AccuracyCriterion(tolerable_loss=LOSS)\n"
        "tuning_criterion = TuningCriterion(max_trials=6)\n"
        'conf = PostTrainingQuantConfig(approach="dynamic", accuracy_criterion=accuracy_criterion,'
        " tuning_criterion=tuning_criterion)\n"
    )
    tune = read(tmp_path, text, "conf.py").over(Tune())
    assert tune.accuracy_criterion == AccuracyCriterion(relative=0.05)
    assert tune.exit_policy == ExitPolicy(max_trials=6)
    twice = text + "if x:\n    LOSS = 0.01\n"
    assert "conf.py:2: accuracy_criterion.tolerable_loss: the file is read and not run" in refused(
        tmp_path, twice, "conf.py"
    )
    assert "conf.py:1: accuracy_criterion" in refused(
        tmp_path, "a = b\nb = a\nPostTrainingQuantConfig(accuracy_criterion=a)\n", "conf.py"
    ).replace("conf.py:2: accuracy", "conf.py:1: accuracy")


def test_a_config_that_says_nothing_leaves_the_recipes_settings(tmp_path: Path) -> None:
    own = Tune(objective="smallest")
    assert read(tmp_path, "PostTrainingQuantConfig()\n", "conf.py").over(own) == own


def test_python_is_read_and_not_run(tmp_path: Path) -> None:
    tune = read(tmp_path, PYTHON, "conf.py").over(Tune())
    assert tune.approach == "static"
    assert tune.num_calibration_samples == 64
    assert tune.accuracy_criterion == AccuracyCriterion(absolute=0.02)
    assert tune.exit_policy == ExitPolicy(timeout=60, max_trials=7)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TALK.replace("pytorch", "tensorflow"), "conf.yaml:3: model.framework: tensorflow has no"),
        (TALK.replace("cpu", "gpu"), "conf.yaml:5: device: gpu has no meaning here: hubkit quant"),
        (TALK.replace("dynamic_quant", "dinamic_quant"), "did you mean post_training_dynamic_quan"),
        (
            TALK.replace("post_training_dynamic_quant", "quant_aware_training"),
            "conf.yaml:8: quantization.approach: quant_aware_training has no meaning here: hubkit",
        ),
        (TALK.replace("  random_seed", "  tensorbord"), "conf.yaml:16: tuning.tensorbord: no mean"),
        (TALK.replace("0.01", "1.5"), "conf.yaml:12: tuning.accuracy_criterion.relative: a share"),
        (TALK.replace("timeout: 0", "timeout: -1"), "conf.yaml:14: tuning.exit_policy.timeout:"),
        (
            TALK + "evaluation:\n  accuracy: {metric: {topk: 1}}\n",
            "conf.yaml:17: evaluation: no meaning here: the recipe says what is scored",
        ),
        (
            TALK.replace("relative: 0.01", "relative: 0.01\n    absolute: 0.1"),
            "conf.yaml:13: tuning.accuracy_criterion.absolute: relative and absolute are two",
        ),
        (
            TALK.replace("relative: 0.01", "relative: 0.01\n    higher_is_better: false"),
            "conf.yaml:13: tuning.accuracy_criterion.higher_is_better: of every metric",
        ),
        (TALK.replace("  framework: pytorch\n", ""), "conf.yaml:1: model.framework: missing key"),
        ("hello: there\n", "conf.yaml:1: hello: no meaning here"),
        ("", "conf.yaml:1: the file is empty"),
        ("- 1\n", "conf.yaml:1: expected a mapping of keys, found a list"),
        ("[" * 9000, "conf.yaml: not readable as YAML: nested too deep"),
        ("model: pytorch\n", "conf.yaml:1: model: expected a mapping of keys"),
        (
            TALK.replace("pytorch", "onnxrt_qlinearops"),
            "conf.yaml:8: quantization.approach: post_training_dynamic_quant is dynamic, and",
        ),
        (TALK.replace("9527", str(2**32)), "conf.yaml:16: tuning.random_seed: a seed has 32"),
        (TALK.replace("1200", "0"), "conf.yaml:15: tuning.exit_policy.max_trials: at least one"),
        (TALK.replace("timeout: 0", "timeout: .nan"), "timeout: .nan is not a finite number"),
        (
            "approach: static\nop_name_dict: {a: {weight: {dtype: [fp32]}}}\n",
            "conf.yaml:2: op_name_dict: no meaning here: groups of nodes are what the search",
        ),
        (
            "approach: static\ntuning_criterion: {strategy: bayesian}\n",
            "tuning_criterion.strategy: bayesian has no meaning here: hubkit's search is its own",
        ),
        (
            "approach: static\ncalibration_sampling_size: 0\n",
            "conf.yaml:2: calibration_sampling_size: at least one row is needed",
        ),
        (TALK + "tuning: {}\n", "conf.yaml:17: tuning: the key is given twice"),
    ],
)
def test_what_means_nothing_is_refused_by_name_with_its_line(
    tmp_path: Path, text: str, said: str
) -> None:
    assert said in refused(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PYTHON.replace("0.02", "LOSS"), "conf.py:8: accuracy_criterion.tolerable_loss: the file"),
        (PYTHON.replace("approach=", ""), "conf.py:5: arguments are read by their names"),
        (PYTHON.replace("approach", "aproach"), "conf.py:6: aproach: no meaning here, did you"),
        (PYTHON + "x = (", "not readable as Python"),
        ("print(1)\n", "conf.py: no PostTrainingQuantConfig(...) in it"),
        ("", "conf.py: no PostTrainingQuantConfig(...) in it"),
        ("(" * 5000, "conf.py:1: not readable as Python"),
        ("PostTrainingQuantConfig(backend='ipex')", "backend: ipex has no meaning here: the Intel"),
        (
            "PostTrainingQuantConfig(tuning_criterion={1: 2})",
            "conf.py:1: tuning_criterion.1: no meaning here",
        ),
    ],
)
def test_python_that_cannot_be_read(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(tmp_path, text, "conf.py")


@pytest.mark.parametrize("name", ["conf.yaml", "conf.py"])
def test_what_is_no_text_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(bytes(range(256)))
    with pytest.raises(RecipeError, match="not UTF-8 text"):
        read_inc_config(tmp_path / name)


def test_the_recipe_that_model_name_names(tmp_path: Path) -> None:
    found = read(tmp_path, TALK.replace("bert", "distilbert-sst2"))
    assert recipe_named(found, ("distilbert-sst2",)) == "distilbert-sst2"
    with pytest.raises(RecipeError, match="no recipe is of that name"):
        recipe_named(read(tmp_path, TALK), ("distilbert-sst2",))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            "ac = AccuracyCriterion()\nac.tolerable_loss = 0.05\n"
            "conf = PostTrainingQuantConfig(accuracy_criterion=ac)\n",
            "conf.py:2: tolerable_loss: set after it was made",
        ),
        (
            "conf = PostTrainingQuantConfig()\nconf.tuning_criterion.timeout = 9\n",
            "conf.py:2: timeout: set after it was made",
        ),
        (
            "ac = AccuracyCriterion(tolerable_loss=ac)\n"
            "conf = PostTrainingQuantConfig(accuracy_criterion=ac)\n",
            "conf.py:2: not readable as Python",
        ),
        (
            "loss = 0.01\ndef conf(loss):\n"
            "    return PostTrainingQuantConfig(accuracy_criterion=dict(tolerable_loss=loss))\n",
            "conf.py:3: accuracy_criterion: the file is read and not run",
        ),
        (
            "loss = 0.01\ndef conf(loss):\n"
            "    ac = AccuracyCriterion(tolerable_loss=loss)\n"
            "    return PostTrainingQuantConfig(accuracy_criterion=ac)\n",
            "conf.py:3: accuracy_criterion.tolerable_loss: the file is read and not run",
        ),
    ],
)
def test_what_a_python_file_leaves_open_is_refused(tmp_path: Path, lines: str, said: str) -> None:
    assert said in refused(tmp_path, lines, "conf.py")


def test_a_config_within_a_function_is_read(tmp_path: Path) -> None:
    text = (
        "def main():\n    ac = AccuracyCriterion(tolerable_loss=0.02)\n"
        "    conf = PostTrainingQuantConfig(approach='dynamic', accuracy_criterion=ac)\n"
    )
    found = read(tmp_path, text, "conf.py").over(Tune())
    assert (found.approach, found.accuracy_criterion.relative) == ("dynamic", 0.02)
