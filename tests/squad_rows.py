"""A small dataset of the form of SQuAD, made on the spot: contexts, questions and their answers."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

_PEOPLE = ("Ada", "Chen Wei", "José", "Zoë", "Mbali", "Søren", "Iris", "Tom")
_PLACES = ("Oslo", "São Paulo", "the harbour", "a small town", "Köln", "the old mill")
_THINGS = ("a clever film", "the bridge", "two comedies", "a great story", "an engine")


class Answers(TypedDict):
    text: list[str]
    answer_start: list[int]


class SquadRow(TypedDict):
    id: str
    title: str
    context: str
    question: str
    answers: Answers


def squad_rows(count: int, *, unanswerable: int = 0) -> list[SquadRow]:
    """`count` rows, the same every time; the last `unanswerable` of them have no answer."""
    return [_row(number, answered=number < count - unanswerable) for number in range(count)]


def write_squad(
    folder: Path, *, train: int = 12, validation: int = 8, unanswerable: int = 0
) -> Path:
    """A dataset folder with data/SPLIT-00000-of-00001.parquet of both splits; gives `folder`."""
    import pyarrow as pa
    from pyarrow import parquet

    (folder / "data").mkdir(parents=True)
    for split, count in (("train", train), ("validation", validation)):
        table = pa.Table.from_pylist(
            squad_rows(count, unanswerable=unanswerable),
            schema=pa.schema(
                [
                    *((name, pa.string()) for name in ("id", "title", "context", "question")),
                    (
                        "answers",
                        pa.struct(
                            [
                                ("text", pa.list_(pa.string())),
                                ("answer_start", pa.list_(pa.int32())),
                            ]
                        ),
                    ),
                ]
            ),
        )
        parquet.write_table(table, folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


def _row(number: int, *, answered: bool) -> SquadRow:
    person = _PEOPLE[number % len(_PEOPLE)]
    place = _PLACES[number % len(_PLACES)]
    thing = _THINGS[number % len(_THINGS)]
    # Some contexts are too long for one window of a tiny model, and the answer comes late in them.
    before = "It was a long and cold winter , and they had little to do . " * (number % 4)
    context = f"{before}In {1900 + number} {person} made {thing} in {place}, it is said."
    question, answer = (
        (f"Who made {thing} in {place}?", person),
        (f"What did {person} make?", thing),
        (f"Where was {thing} made?", place),
        (f"When did {person} make {thing}?", str(1900 + number)),
    )[number % 4]
    if not answered:
        question, answer = f"Why did {person} leave {place}?", ""
    # As in SQuAD: more than one accepted answer for some.
    texts = [answer] * answered + [answer.removeprefix("a ")] * (answered and number % 3 == 0)
    starts = [context.index(text, len(before)) for text in texts]
    return {
        "id": f"row-{number}",
        "title": place,
        "context": context,
        "question": question,
        "answers": {"text": texts, "answer_start": starts},
    }
