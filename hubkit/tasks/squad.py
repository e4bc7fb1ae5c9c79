"""How an extracted answer is scored: the definition of SQuAD.

Exact match and F1 of Rajpurkar et al. 2016 (arXiv:1606.05250, section 6.1), for a question without
an answer as in Rajpurkar et al. 2018 (arXiv:1806.03822): there nothing is the only right answer.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def normalized(text: str) -> str:
    """In lower case, without ASCII punctuation and a, an, the; words apart by one space."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def answerable(answers: Sequence[str]) -> bool:
    """Whether any accepted answer has a text."""
    return any(answer.strip() for answer in answers)


def accepted_forms(answers: Sequence[str]) -> tuple[str, ...]:
    """The accepted answers normalized, each once; the empty text alone where there is no answer."""
    if not answerable(answers):
        return ("",)
    return tuple(dict.fromkeys(normalized(answer) for answer in answers if answer.strip()))


def exact_match(answer: str, accepted: Sequence[str]) -> bool:
    """Whether the answer is one of the accepted ones; all of them normalized."""
    return answer in accepted


def f1(answer: str, accepted: Sequence[str]) -> float:
    """The best F1 over the accepted answers, 0 to 1, on bags of words; all of them normalized."""
    return max(_f1(answer.split(), other.split()) for other in accepted)


def _f1(answer: list[str], other: list[str]) -> float:
    if not answer or not other:
        return float(answer == other)
    common = sum((Counter(answer) & Counter(other)).values())
    return 2 * common / (len(answer) + len(other))
