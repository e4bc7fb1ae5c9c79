"""Entities are counted as seqeval counts them, sentence by sentence."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities

from hubkit.tasks.entities import EntityCounter

SCHEMES = {
    "IOB2": ("O", "B-PER", "I-PER", "B-ORG", "I-ORG"),
    "IOB1": ("I-ORG", "O", "I-PER", "B-PER"),
    "IOBES": ("O", "B-A", "I-A", "E-A", "S-A", "B-B", "I-B", "E-B", "S-B"),
    "types with dashes": ("O", "B-A-X", "I-A-X", "B-A-Y", "I-A", "E-A-Y"),
    "odd": ("O", "B", "I", "E", "PER", "LABEL_1", ".", "_", "O-A", "I-PER", "U-A", "L-A"),
}
Sentences = list[list[tuple[int, int]]]


def _named(labels: tuple[str, ...], sentences: Sentences, which: int) -> list[list[str]]:
    return [[labels[word[which]] for word in words] for words in sentences]


def _counts(labels: tuple[str, ...], sentences: Sentences) -> NDArray[np.int64]:
    flat = np.array([word for words in sentences for word in words], np.int64).reshape(-1, 2)
    offsets = np.cumsum([0, *map(len, sentences)])
    return EntityCounter(labels, offsets).counts(flat[:, 0], flat[:, 1])


@pytest.mark.parametrize("labels", SCHEMES.values(), ids=SCHEMES)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_sequence_counts_as_seqeval_counts_it(
    labels: tuple[str, ...], data: st.DataObject
) -> None:
    truth = st.integers(0, len(labels) - 1)
    # Right answers often, so that entities of several words are found.
    word = st.one_of(truth.map(lambda label: (label, label)), st.tuples(truth, truth))
    sentences = data.draw(st.lists(st.lists(word, max_size=7), min_size=1, max_size=6))
    counts = _counts(labels, sentences)
    hits, answered, true, right, words = counts.sum(axis=0).tolist()
    theirs, ours = (_named(labels, sentences, which) for which in (0, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        entities, found = set(get_entities(theirs)), set(get_entities(ours))
        assert (hits, answered, true) == (len(entities & found), len(found), len(entities))
        if not words:
            return
        scores = (precision_score, recall_score, f1_score)
        precision, recall, f1 = (score(theirs, ours, zero_division=0) for score in scores)
        accuracy = accuracy_score(theirs, ours)
    assert hits / max(answered, 1) == pytest.approx(precision)
    assert hits / max(true, 1) == pytest.approx(recall)
    assert 2 * hits / max(answered + true, 1) == pytest.approx(f1)
    assert right / words == pytest.approx(accuracy)
    assert counts[:, 4].tolist() == [len(words) for words in sentences]


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_each_sentence_counts_as_if_it_were_alone(data: st.DataObject) -> None:
    labels = SCHEMES["IOB2"]
    label = st.integers(0, len(labels) - 1)
    word = st.one_of(label.map(lambda one: (one, one)), st.tuples(label, label))
    sentences = data.draw(st.lists(st.lists(word, max_size=6), min_size=1, max_size=6))
    together = _counts(labels, sentences)
    for number, words in enumerate(sentences):
        assert together[number].tolist() == _counts(labels, [words])[0].tolist()


def test_an_entity_does_not_reach_into_the_next_sentence() -> None:
    words = [[(1, 1), (2, 2)], [(2, 2), (0, 1)]]  # B-PER I-PER | I-PER O
    assert _counts(SCHEMES["IOB2"], words).tolist() == [[1, 1, 1, 2, 2], [1, 2, 1, 1, 2]]
