"""Templates of a user's own: any block, in any language, and nothing beyond the card."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hubkit.cards.environment import TemplateError
from hubkit.stages.bundle import recipe_json
from hubkit.stages.card import render_card
from tests.cards.examples import REPO_ID, make_lock, make_recipe, make_report
from tests.cards.markdown import headings, html_tokens

DOCS = Path(__file__).resolve().parents[2] / "docs" / "cards.md"


def card(folder: Path, language: str = "en", **changes: object) -> str:
    return render_card(
        make_recipe(**changes),
        "",
        make_lock(),
        make_report(),
        REPO_ID,
        language=language,
        folders=(folder,),
        named=folder.name,
    )


def write(folder: Path, text: str, name: str = "base") -> Path:
    (folder / "card").mkdir(exist_ok=True)
    (folder / "card" / f"{name}.md.j2").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("language", ["en", "zh", "ar"])
def test_the_example_of_the_docs_adds_to_one_block(tmp_path: Path, language: str) -> None:
    example = re.search(r"```jinja\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert example
    mine = card(write(tmp_path, example[1]), language)
    assert "Our team answers questions within 2 working days." in mine
    assert "Users should know the risks and limits." in mine  # what the block had
    empty = tmp_path / "nothing"
    empty.mkdir()
    theirs = card(empty, language)
    assert headings(mine) == headings(theirs)


def test_the_docs_name_every_block() -> None:
    from hubkit.paths import templates_dir

    text = (templates_dir() / "card" / "base.md.j2").read_text(encoding="utf-8")
    blocks = re.findall(r"{% block (\w+) %}", text)
    listed = re.search(r"Blocks: (.*?)\. An empty", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert listed
    assert sorted(re.findall(r"`(\w+)`", listed[1])) == sorted(blocks)


def test_an_empty_block_leaves_its_section_out(tmp_path: Path) -> None:
    text = '{% extends "hubkit/card/base.md.j2" %}{% block ethics %}{% endblock %}'
    assert "Ethical considerations" not in headings(card(write(tmp_path, text)))


def test_one_task_alone_can_be_changed(tmp_path: Path) -> None:
    text = (
        '{% extends "hubkit/card/text-classification.md.j2" %}'
        "{% block title %}# Mine: {{ title }}{% endblock %}"
    )
    made = card(write(tmp_path, text, "text-classification"))
    assert headings(made, "h1") == ["Mine: Tiny sentiment, INT8"]


def test_a_typo_is_an_error_with_template_line_and_names(tmp_path: Path) -> None:
    text = '{% extends "hubkit/card/base.md.j2" %}\n{% block notes %}\n{{ nots }}{% endblock %}'
    with pytest.raises(TemplateError, match=r"card/base\.md\.j2, line 3: 'nots'") as caught:
        card(write(tmp_path, text))
    assert "notes" in caught.value.hint


@pytest.mark.parametrize(
    "attempt",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ recipe.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.environ }}",
        "{% include '/etc/passwd' %}",
        "{% include '../../../etc/passwd' %}",
    ],
)
def test_a_template_sees_the_card_and_nothing_else(tmp_path: Path, attempt: str) -> None:
    text = f'{{% extends "hubkit/card/base.md.j2" %}}{{% block notes %}}{attempt}{{% endblock %}}'
    with pytest.raises(TemplateError):
        card(write(tmp_path, text))


def test_what_a_template_prints_is_data(tmp_path: Path) -> None:
    text = (
        '{% extends "hubkit/card/base.md.j2" %}'
        "{% block notes %}{{ recipe.name }}{{ '<script>' }}{% endblock %}"
    )
    assert html_tokens(card(write(tmp_path, text))) == []


def test_the_card_says_that_it_takes_the_folder_to_make_it_again(tmp_path: Path) -> None:
    made = card(write(tmp_path, '{% extends "hubkit/card/base.md.j2" %}'))
    assert f" --templates {tmp_path.name}\n" in made
    assert f"beside the recipe: `{tmp_path.name}`." in made
    own = make_recipe(templates="../elsewhere/mine")
    assert '"templates": "mine"' in recipe_json(own, make_lock())
