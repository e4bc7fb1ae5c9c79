"""The JavaScript on the card is JavaScript, and is there where transformers.js can run the model.

tests/e2e_small and tests/e2e run it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hubkit.cards import javascript
from hubkit.recipe import Recipe
from hubkit.recipe_tasks import TASK_KEYS
from hubkit.records import Report
from hubkit.tasks import TASKS
from tests.cards.examples import RECIPE, artifact, make_base, make_recipe, make_report
from tests.javascript.node import HERE, check, run

REPO = 'me/a-"b'
PROGRAMS = [
    (task, pair, own_hub)
    for task in TASKS.names()
    for pair in (False, "secondary" in TASK_KEYS[task].optional)
    for own_hub in (False, True)
]
FILES = {"model__safetensors": 90_869_064, "tokenizer__json": 9, "tokenizer_config__json": 9}


@pytest.mark.parametrize(("task", "pair", "own_hub"), dict.fromkeys(PROGRAMS))
def test_every_task_has_a_program(task: str, pair: bool, own_hub: bool, tmp_path: Path) -> None:
    text = javascript.javascript_example(task, REPO, pair=pair, own_hub=own_hub)
    check(text, tmp_path)
    assert f"const repoId = {json.dumps(REPO)};\n" in text
    assert ("env.remoteHost = process.env.HF_ENDPOINT;\n" in text) == own_hub
    assert ("text_pair" in text) == pair
    assert max(map(len, text.splitlines())) <= 90


def test_it_installs_the_major_that_was_run() -> None:
    manifest = json.loads((HERE / "package.json").read_bytes())
    version = manifest["dependencies"][javascript.PACKAGE]
    assert version.split(".")[0] == str(javascript.MAJOR)
    assert javascript.javascript_install() == "npm install @huggingface/transformers@4"
    assert f'from "{javascript.PACKAGE}";' in javascript.javascript_example(TASKS.names()[0], REPO)


def test_the_lock_names_no_address() -> None:
    lock = json.loads((HERE / "package-lock.json").read_bytes())
    packages = {name: one for name, one in lock["packages"].items() if name}
    assert all(one["integrity"].startswith("sha512-") for one in packages.values())
    assert not any("resolved" in one for one in packages.values())


def test_the_library_knows_these_tasks_and_types(tmp_path: Path) -> None:
    classes = {
        "text-classification": "AutoModelForSequenceClassification",
        "token-classification": "AutoModelForTokenClassification",
        "question-answering": "AutoModelForQuestionAnswering",
        "feature-extraction": "AutoModel",
    }
    assert javascript.MODEL_TYPES.keys() == classes.keys() == set(TASKS.names())
    wanted = [[classes[task], sorted(types)] for task, types in javascript.MODEL_TYPES.items()]
    # AutoModel takes any type, and only warns: its table is asked here.
    (unknown,) = run(
        'import * as library from "@huggingface/transformers";\n'
        f"const wanted = {json.dumps(wanted)};\n"
        "const knows = (name, type) =>\n"
        "  library[name].MODEL_CLASS_MAPPINGS.some((table) => table.has(type));\n"
        "console.log(wanted.flatMap(([name, types]) =>\n"
        "  types.filter((type) => !knows(name, type)).map((type) => [name, type])));\n",
        tmp_path,
    )
    assert unknown == []


def _fits(recipe: Recipe | None = None, **changes: object) -> bool:
    base = make_base(artifact=artifact("base", **FILES))
    report = make_report(**{"base": base, **changes})
    return javascript.transformersjs_fits(recipe or make_recipe(), report)


def test_a_known_model_with_its_tokenizer_fits() -> None:
    assert _fits()


@pytest.mark.parametrize("missing", ["tokenizer__json", "tokenizer_config__json"])
def test_without_its_tokenizer_it_does_not(missing: str) -> None:
    files = {name: size for name, size in FILES.items() if name != missing}
    assert not _fits(base=make_base(artifact=artifact("base", **files)))


def test_of_an_unknown_type_it_does_not() -> None:
    base = make_base(artifact=artifact("base", **FILES), model_type="funnel")
    assert not _fits(base=base)
    known = base.model_copy(update={"model_type": "squeezebert"})
    assert _fits(base=known)
    assert not _fits(base=known, task="token-classification")


def test_in_two_files_it_does_not() -> None:
    def in_two(report: Report) -> Report:
        variants = tuple(
            variant.model_copy(
                update={
                    "artifact": artifact(
                        variant.name, model_quantized__onnx=9, model_quantized__onnx_data=9
                    )
                }
            )
            for variant in report.variants
        )
        return report.model_copy(update={"variants": variants})

    base = make_base(artifact=artifact("base", **FILES))
    assert not javascript.transformersjs_fits(make_recipe(), in_two(make_report(base=base)))


def test_without_an_onnx_model_it_does_not() -> None:
    publication = RECIPE["publication"]
    assert isinstance(publication, dict)
    assert not _fits(make_recipe(publication={**publication, "formats": ["pytorch"]}))
    assert not _fits(selection=None)
