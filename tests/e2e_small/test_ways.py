"""A model published, changed in a pull request, and rolled back: each verified by its logits.

Some half a minute, most of it libraries that each verification imports: `make conformance`, or
`pytest -m conformance tests/e2e_small/test_ways.py`.
"""

from __future__ import annotations

import pytest

from tests.e2e_small.worlds import HEAVY, World, tiny_recipe


@pytest.mark.conformance
def test_from_a_release_by_a_pull_request_and_back(warm: World) -> None:
    first = warm.publish("--tag", "v1").json()
    assert first["made_commit"] is True
    publication = tiny_recipe()["publication"]
    assert isinstance(publication, dict)
    warm.write(publication={**publication, "license": "mit"})

    compared = warm.hubkit("diff", warm.repo, str(warm.folder), "--format", "json").json()
    changes = compared["changes"]
    assert isinstance(changes, list)
    paths = {change["path"] for change in changes}
    assert "README.md" in paths
    assert "model.onnx" not in paths
    assert compared["send_bytes"] == sum(change["size_bytes"] for change in changes)

    proposed = warm.publish("--create-pr")
    done = proposed.json()
    assert (done["pull_request"], done["branch"]) == (1, "refs/pr/1")
    assert done["verified"] != "before"
    assert proposed.ran().isdisjoint(HEAVY)
    assert b"license: apache-2.0" in warm.file("README.md")
    checked = warm.hubkit("verify", warm.repo, "--revision", "refs/pr/1", "--format", "json")
    assert checked.json()["revision"] == done["commit"]

    warm.api().merge_pull_request(warm.repo, 1)
    assert b"license: mit" in warm.file("README.md")
    refused = warm.hubkit("rollback", warm.repo, "--to", "v1")
    assert refused.code == 2
    assert "--yes" in refused.err
    back = warm.hubkit("rollback", warm.repo, "--to", "v1", "--yes", "--format", "json")
    assert back.code == 0, back.err
    verified = back.json()["verified"]
    assert isinstance(verified, dict)
    assert [check["checked"] for check in verified["formats"]] == [True]
    assert b"license: apache-2.0" in warm.file("README.md")
    assert warm.titles()[0].startswith("Roll back to v1 (")
    forward = warm.publish("--tag", "v1", "--force").json()
    assert forward["tag_moved_from"] == first["commit"]
