"""What is too much for one commit."""

from __future__ import annotations

import pytest

from hubkit.errors import HubError
from hubkit.hub.limits import HUB, Limits
from tests.hub_client.hubs import World


def test_the_hubs_own() -> None:
    HUB.refuse_files({f"{i}.bin": 500 * 10**9 for i in range(25_000)})
    HUB.refuse_payload(10**9)
    HUB.refuse_folders([f"{i}" for i in range(10_000)], ["0"])
    with pytest.raises(HubError, match=r"500,000,000,001 bytes, and the Hub takes 500,000,000,000"):
        HUB.refuse_files({"a.bin": 500 * 10**9 + 1})
    with pytest.raises(HubError, match=r"25,001 files, and the Hub takes 25,000"):
        HUB.refuse_files({f"{i}.bin": 1 for i in range(25_001)})
    with pytest.raises(HubError, match=r"1,000,000,001 bytes of files that are not LFS"):
        HUB.refuse_payload(10**9 + 1)


def test_a_folder_counts_its_files_and_its_folders() -> None:
    limits = Limits(folder_entries=2)
    files = ["a/1", "a/b/1", "a/b/2", "c"]
    limits.refuse_folders(files, files)
    with pytest.raises(HubError, match=r"^a would hold 3 files"):
        limits.refuse_folders([*files, "a/d/1"], ["a/d/1"])
    with pytest.raises(HubError, match=r"^the root of the repository would hold 3 files"):
        limits.refuse_folders([*files, "d"], ["d"])
    limits.refuse_folders([*files, "a/d/1"], [])  # it is as full as it was


@pytest.mark.parametrize("part", ["/preupload/", "/commit/"])
def test_a_hub_that_takes_less_than_it_says(world: World, part: str) -> None:
    from hubkit.stages.push import push_to
    from tests.stages.test_push import FILES, with_sums

    world.switch.fail_on(part, 413)
    given = world.given(world.bundle(with_sums(FILES)))
    with (
        pytest.raises(HubError, match=r"more than the Hub takes at once \(413"),
        world.ctx() as ctx,
    ):
        push_to(world.hub(), given, ctx)
    assert world.waits == []
    assert len(world.titles()) == 1
