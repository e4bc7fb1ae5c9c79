"""The records of a bundle against one another, as `verify` holds them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hubkit.errors import VerifyError
from hubkit.keys import files_of
from hubkit.provenance.checks import RecordChecks
from hubkit.recipe import Recipe
from hubkit.records import CardSet, Lock
from hubkit.stage import Context
from hubkit.stages.bundle import BundleInput, bundle
from hubkit.stages.card import CardInput, card
from hubkit.stages.verify_records import check_records
from hubkit.store import Store
from tests.cards.examples import NOTES, REPO_ID, make_base, make_lock, make_recipe, make_report

CONFIG = json.dumps({"architectures": ["DistilBertForSequenceClassification"]})


class Made:
    """A bundle in a folder of its own that may be edited."""

    def __init__(self, tmp_path: Path, recipe: Recipe, lock: Lock) -> None:
        self.store = Store(tmp_path / "store")
        with self.store.scratch() as scratch:
            ctx = Context(store=self.store, scratch=scratch)
            cards = card(
                CardInput(
                    recipe=recipe,
                    notes=NOTES,
                    lock=lock,
                    report=make_report(),
                    repo_id=REPO_ID,
                    languages=recipe.publication.card_languages,
                ),
                ctx,
            )
            made = bundle(self._given(recipe, lock, cards), ctx)
        self.folder = tmp_path / "bundle"
        for ref in made.artifact.files:
            (self.folder / ref.path).parent.mkdir(parents=True, exist_ok=True)
            path = self.store.path(made.artifact) / ref.path
            (self.folder / ref.path).write_bytes(path.read_bytes())

    def _given(self, recipe: Recipe, lock: Lock, cards: CardSet) -> BundleInput:
        report = make_report()
        files = {"model.onnx": "int8", "pytorch_model.bin": "int8", "config.json": CONFIG}
        with self.store.scratch() as scratch:
            (scratch / "model").mkdir()
            for name, text in files.items():
                (scratch / "model" / name).write_text(text)
            artifact = self.store.adopt(scratch / "model")
        changed = {
            kind: variant.model_copy(
                update={
                    "artifact": artifact,
                    "model_file": "model.onnx" if kind == "onnx" else "pytorch_model.bin",
                }
            )
            for kind, variant in report.published().items()
        }
        return BundleInput(
            repo_id=REPO_ID,
            recipe=recipe,
            lock=lock,
            report=report,
            cards=cards,
            base=make_base(artifact=artifact),
            published=changed,
        )

    def edit(self, path: str, old: str, new: str) -> None:
        text = (self.folder / path).read_text(encoding="utf-8")
        assert old in text
        (self.folder / path).write_text(text.replace(old, new, 1), encoding="utf-8")

    def check(self, *, keep: bool = False) -> RecordChecks:
        """With sums and a bill of materials that fit the files, as a forger would make them."""
        sums = files_of(self.folder)
        del sums["SHA256SUMS"]
        if not keep:
            self._fit_bom(sums)
            sums = files_of(self.folder)
            del sums["SHA256SUMS"]
        return check_records(self.folder, sums, make_report(), REPO_ID, None)

    def _fit_bom(self, sums: dict[str, str]) -> None:
        path = self.folder / "bom.cdx.json"
        value = json.loads(path.read_text(encoding="utf-8"))
        for part in value["components"]:
            if part["type"] == "file":
                part["hashes"][0]["content"] = sums[part["name"]]
        path.write_text(json.dumps(value), encoding="utf-8")


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Made]:
    def make(recipe: Recipe | None = None, lock: Lock | None = None) -> Made:
        both = {"languages": ["en"], "card_languages": ["en", "zh"], "license": "apache-2.0"}
        recipe = recipe or make_recipe(publication={**both, "repo_id": REPO_ID})
        return Made(tmp_path, recipe, lock or make_lock())

    return make


def test_a_bundle_as_it_was_made(make: Callable[..., Made]) -> None:
    made = make()
    found = made.check(keep=True)
    assert found.bom
    assert found.cards.same == ("README.md", "README.zh.md")
    assert not found.cards.other
    assert found.signature.state == "none"


def test_versions_of_other_tools_are_listed_and_no_more(make: Callable[..., Made]) -> None:
    lock = make_lock()
    tools = {**lock.tools, "pydantic": "0.0.1", "no-such-tool": "1.0"}
    found = make(lock=lock.model_copy(update={"tools": tools, "python": "3.9.0"})).check()
    said = {one.tool: one for one in found.environment}
    assert said["pydantic"].recorded == "0.0.1"
    assert said["pydantic"].here not in (None, "0.0.1")
    assert said["no-such-tool"].here is None
    assert said["python"].recorded == "3.9.0"


def test_a_number_on_a_card_that_was_made_better(make: Callable[..., Made]) -> None:
    made = make()
    made.edit("README.md", "0.86", "0.96")
    with pytest.raises(VerifyError, match=r"README\.md, line \d+: the card is not what its rec"):
        made.check()


def test_notes_that_were_changed_alone(make: Callable[..., Made]) -> None:
    made = make()
    made.edit("notes.md", "single sentences", "whole books")
    with pytest.raises(VerifyError, match="not what its records say"):
        made.check()


def test_cards_of_another_hubkit_are_compared_and_not_refused(make: Callable[..., Made]) -> None:
    made = make()
    made.edit("README.md", "0.86", "0.96")
    bom = json.loads((made.folder / "bom.cdx.json").read_text())
    for one in bom["metadata"]["component"]["properties"]:
        if one["name"] == "hubkit:renderer":
            one["value"] = "0" * 64
    (made.folder / "bom.cdx.json").write_text(json.dumps(bom))
    found = made.check()
    assert found.cards.same == ("README.zh.md",)
    assert len(found.cards.other) == 1
    assert found.cards.other[0].startswith("README.md, line ")
    assert "another hubkit" in found.cards.reason


def test_templates_of_the_author_are_not_compared(make: Callable[..., Made]) -> None:
    made = make()
    made.edit("README.md", "hubkit publish ", "hubkit publish --templates mine ")
    found = made.check()
    assert "templates" in found.cards.reason
    assert not found.cards.same


def test_a_recipe_that_this_hubkit_does_not_know(make: Callable[..., Made]) -> None:
    made = make()
    made.edit("recipe.json", '"schema": 1', '"schema": 1, "from_the_future": true')
    found = made.check()
    assert "cannot be rendered" in found.cards.reason


def test_a_bill_of_materials_that_says_something_else(make: Callable[..., Made]) -> None:
    made = make()
    made.edit("lock.json", '"torch": "', '"torch": "0')
    with pytest.raises(VerifyError, match=r"bom\.cdx\.json: .*tool torch is"):
        made.check(keep=True)


def test_files_of_the_author_are_not_looked_at(make: Callable[..., Made]) -> None:
    made = make()
    sums = files_of(made.folder)
    del sums["SHA256SUMS"]
    (made.folder / "notes.zh.md").write_text("mine", encoding="utf-8")
    (made.folder / "README.de.md").write_text("mine", encoding="utf-8")
    found = check_records(made.folder, sums, make_report(), REPO_ID, None)
    assert found.cards.same == ("README.md", "README.zh.md")
    assert found.bom


def test_a_repository_of_before_there_were_bills_of_materials(make: Callable[..., Made]) -> None:
    made = make()
    (made.folder / "bom.cdx.json").unlink()
    found = made.check(keep=True)
    assert not found.bom
    assert found.cards.same == ("README.md", "README.zh.md")


def test_a_lock_that_is_none(make: Callable[..., Made]) -> None:
    made = make()
    (made.folder / "lock.json").write_text("{}")
    with pytest.raises(VerifyError, match=r"lock\.json is not of the form"):
        made.check()
