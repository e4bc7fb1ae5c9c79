"""What is refused before a report on formats is measured, and how it names the recipe."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from hubkit.errors import HubkitError, UsageError
from hubkit.formats_assembling import Choice, _named, refuse_away, refuse_long
from hubkit.formats_records import ServingPlan
from hubkit.recipe_file import load_recipe


def test_a_server_that_is_away_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    refuse_away(Choice(), "tiny")
    with pytest.raises(HubkitError, match="does not answer"):
        refuse_away(Choice(url=f"http://127.0.0.1:{port}"), "tiny")


def test_longer_sentences_than_the_model_takes_are_refused() -> None:
    for length in (None, 1, 64):
        refuse_long(ServingPlan(input_length=length), 64)
    with pytest.raises(UsageError, match="at most 64"):
        refuse_long(ServingPlan(input_length=65), 64)


def test_a_demo_is_recommended_to_be_served_as_one() -> None:
    loaded = load_recipe("distilbert-embeddings")
    assert _named(loaded) == "distilbert-embeddings"
    assert _named(replace(loaded, demo=True)) == "distilbert-embeddings --demo"
