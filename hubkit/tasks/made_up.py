"""Rows that hubkit made up, for what is published of a dataset whose own rows may not be shown.

They hold names of people, places and organisations, so that a tagger finds something; none of them
is anybody's, and no sentence is from a dataset.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hubkit.tasks.base import Reference, Rows

# From short to long, and then some more of either kind.
SENTENCES = (
    "It rains.",
    "Lisbon slept late.",
    "Nobody at Northwind Foods answered.",
    "Marta Klein sold the bakery in Graz.",
    "The ferry to Tallinn leaves at half past six.",
    "Why did the Harbour Museum close its doors so early?",
    "Ibrahim Toure plays the kora, and his sister Awa sings along.",
    "I would not buy this kettle again: it leaks, and it is loud.",
    "Last spring, the choir of Saint Olga sang in Oslo, Bergen and Trondheim.",
    "What a wonderful afternoon we had with Aunt Rosa and her two dogs by the Danube!",
    "Quiet Rivers Ltd. moved its office from Leeds to Cork, where rents were lower than at home.",
    "After the storm the bridge at Kampala was closed for three weeks, and the drivers of the Lake"
    " Union had to go around.",
    "Professor Hana Novak of the Institute for Old Maps found a drawing of Quebec under a drawing"
    " of Kyoto, and nobody believed her at first.",
    "The soup was cold, the bread was hard and the waiter forgot us twice, but the view over the"
    " bay of Naples was worth every minute of the wait.",
    "Blue Lantern Books, a small publisher in Montevideo, will print the letters that Pedro Alves"
    " wrote to the Sailors' Club between his first and his last journey to Cape Verde.",
    "On Tuesday the council of Dunedin asked the Southern Tram Company, its workers and the people"
    " of Hill Street for their opinion, heard eleven speeches, and put all off until June.",
    "Good morning, Vienna.",
    "The train stopped in Lille and did not go on.",
    "Her novel is slow, sad and very beautiful.",
    "Green Valley United lost again.",
)
QUESTIONS = (
    "What does it do?",
    "Which city slept late?",
    "Who did not answer?",
    "What did Marta Klein sell?",
    "When does the ferry leave?",
    "What closed its doors?",
    "Who sings along with Ibrahim Toure?",
    "What is wrong with the kettle?",
    "Where did the choir sing last spring?",
    "With whom did we have a wonderful afternoon?",
    "From where did Quiet Rivers move its office?",
    "For how long was the bridge closed?",
    "What did the professor find under a drawing of Kyoto?",
    "What was worth the wait?",
    "To whom did Pedro Alves write his letters?",
    "Until when did the council put it all off?",
    "Which city is greeted?",
    "Where did the train stop?",
    "What is her novel like?",
    "Which team lost again?",
)


def made_up_rows(columns: Sequence[str], reference: Reference) -> Rows:
    """Rows with those columns (primary, secondary, question, context), the same every time and
    without references. A row of words has its sentence cut into words."""
    from hubkit.tasks.base import Rows

    known: Mapping[str, Sequence[str]] = MappingProxyType(
        {
            "primary": SENTENCES,
            "secondary": (*SENTENCES[1:], SENTENCES[0]),
            "question": QUESTIONS,
            "context": SENTENCES,
        }
    )
    texts = {name: known[name] for name in columns}
    if reference == "word-labels":
        return Rows({name: [_words(text) for text in texts[name]] for name in texts}, None)
    return Rows(texts, None)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text)
