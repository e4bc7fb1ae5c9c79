"""`hubkit hub mirror` as a user runs it, and what it copies of a recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from huggingface_hub import HfApi

from hubkit.cli.mirror import mirror
from hubkit.errors import RecipeError, UsageError
from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.hub.server.users import token_of
from hubkit.mirror_origin import Wanted, wanted_of_recipe
from hubkit.output import set_format
from tests.e2e_small.worlds import dataset, tiny_recipe
from tests.mirror.conftest import MIRROR, MODEL, WEIGHTS, Pair


@pytest.fixture(autouse=True)
def _human() -> None:
    set_format("human")


def test_into_the_root_of_a_hub_that_does_not_run(
    pair: Pair, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "closed"
    mirror(MODEL, source=pair.public.endpoint, root=root, dry_run=True)
    said = capsys.readouterr()
    assert "would copy 7 files" in said.err
    assert "to copy" in said.out
    mirror(MODEL, source=pair.public.endpoint, root=root)
    said = capsys.readouterr()
    assert "copied 7 files" in said.err
    assert MODEL in said.out
    assert model[:12] in said.out
    # Nobody but the user of the root may write afterwards.
    with EmbeddedHub(root) as hub:
        assert json.loads((root / "users.json").read_text()).keys() == {"demo"}
        mirror(MODEL, source=pair.public.endpoint, root=root)
        assert "there already" in capsys.readouterr().err
        pair.push(MODEL, {"config.json": b"{}"})
        mirror(MODEL, source=pair.public.endpoint, root=root)
        assert "copied 1 file\n" in capsys.readouterr().err
        mirror(MODEL, source=pair.public.endpoint, endpoint=hub.endpoint, token=token_of(root))
        assert "there already" in capsys.readouterr().err


def test_as_json(pair: Pair, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    set_format("json")
    mirror(MODEL, source=pair.public.endpoint, endpoint=pair.mirror.endpoint, token=MIRROR)
    said = capsys.readouterr()
    assert said.err == ""
    (one,) = json.loads(said.out)["mirrored"]
    assert one["origin_commit"] == model
    assert one["origin"] == pair.public.endpoint
    assert one["commit"] == pair.api().repo_info(MODEL).sha
    assert one["sent_bytes"] > len(WEIGHTS)


def test_what_is_missing_or_wrong(pair: Pair, model: str, tmp_path: Path) -> None:
    source = pair.public.endpoint
    with pytest.raises(UsageError, match="a Hub to copy to"):
        mirror(MODEL, source=source)
    with pytest.raises(UsageError, match="no token") as refused:
        mirror(MODEL, source=source, endpoint=pair.mirror.endpoint)
    assert "HUBKIT_HUB_TOKEN" in refused.value.hint
    with pytest.raises(UsageError, match="--type thing"):
        mirror(MODEL, source=source, kind="thing", root=tmp_path / "r")
    with pytest.raises(UsageError, match="not the address"):
        mirror(MODEL, source="ftp://x", root=tmp_path / "r")
    with pytest.raises(UsageError, match="--revision does not go with a recipe"):
        mirror("distilbert-conll03", revision="main", source=source, root=tmp_path / "r")
    for name in ("", "a model!", "../../etc", "a/b/c", "-x/y"):
        with pytest.raises(UsageError, match="neither a repository nor a recipe"):
            mirror(name, source=source, root=tmp_path / "r")
    with pytest.raises(UsageError, match="none of the 7 files") as none:
        mirror(MODEL, source=source, include=["*.h5"], root=tmp_path / "r")
    assert "README.md" in none.value.hint
    with EmbeddedHub(tmp_path / "r") as hub:
        assert not HfApi(hub.endpoint, token=hub.token).repo_exists(MODEL)
    with pytest.raises(RecipeError):
        mirror(str(tmp_path / "none.yaml"), source=source, root=tmp_path / "r")


def test_a_namespace_that_the_token_may_not_write_to(
    pair: Pair, model: str, tmp_path: Path
) -> None:
    from hubkit.errors import HubError

    users = {"ana": {"token": "hf_only_for_ana"}}
    with EmbeddedHub(tmp_path / "other", users) as hub, pytest.raises(HubError) as refused:
        mirror(MODEL, source=pair.public.endpoint, endpoint=hub.endpoint, token="hf_only_for_ana")
    assert "orgs: [elastic]" in refused.value.hint
    assert "hf_only_for_ana" not in str(refused.value)


def test_what_a_recipe_reads(tmp_path: Path) -> None:
    assert wanted_of_recipe(MODEL) is None
    assert wanted_of_recipe("gpt2") is None
    assert wanted_of_recipe("distilbert-conll03") == [
        Wanted("model", "elastic/distilbert-base-uncased-finetuned-conll03-english"),
        Wanted("dataset", "eriktks/conll2003", "refs/convert/parquet"),
    ]
    local = {"source": "local", "path": "model"}
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("sentence,label\n", encoding="utf-8")
    for base, rows, found in (
        ({"source": "hub", "id": MODEL, "revision": "v1"}, {}, [Wanted("model", MODEL, "v1")]),
        (
            local,
            {"source": "hub", "path": "a/b"},
            [Wanted("dataset", "a/b", "main")],
        ),
    ):
        recipe = tiny_recipe(base=base, dataset=dataset(**rows))
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
        assert wanted_of_recipe(str(tmp_path)) == found
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(tiny_recipe()), encoding="utf-8")
    with pytest.raises(UsageError, match="nothing to mirror"):
        wanted_of_recipe(str(tmp_path / "recipe.yaml"))
