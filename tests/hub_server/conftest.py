"""The embedded Hub on a fresh root, and clients for its users; nothing global is changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from hubkit.hub.server.embedded import EmbeddedHub

OWNER, OTHER, READER = "hf_test_owner", "hf_test_other", "hf_test_reader"
USERS: dict[str, dict[str, object]] = {
    "ana": {"token": OWNER, "orgs": ["lab"]},
    "bob": {"token": OTHER},
    "eve": {"token": READER, "role": "read"},
}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[EmbeddedHub]:
    with EmbeddedHub(tmp_path / "root", users=USERS) as running:
        yield running


@pytest.fixture
def api(hub: EmbeddedHub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=OWNER)


@pytest.fixture
def other(hub: EmbeddedHub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=OTHER)


@pytest.fixture
def anonymous(hub: EmbeddedHub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=False)


@pytest.fixture
def repo(api: HfApi) -> str:
    api.create_repo("ana/model")
    return "ana/model"
