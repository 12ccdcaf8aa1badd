"""SQuAD's exact match and F1 of answers, as its official evaluation script computes them.

Rajpurkar, Zhang, Lopyrev, Liang 2016, "SQuAD: 100,000+ questions for machine comprehension of
text" (evaluate-v1.1.py). Values are in 0..1, where the script prints percent.
"""

from collections import Counter
from collections.abc import Sequence
import re
import string


__all__ = ["exact_match", "normalised", "word_f1"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(answer: str) -> str:
    """Return the answer in lower case without punctuation, articles and superfluous blanks.

    Example:
        >>> normalised("The  Norman's")
        'normans'
    """
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, accepted: Sequence[str]) -> float:
    """Return 1 if the answer is one of the accepted ones, else 0."""
    return float(any(normalised(answer) == normalised(other) for other in accepted))


def word_f1(answer: str, accepted: Sequence[str]) -> float:
    """Return the best F1 of the answer's words against those of an accepted answer.

    Example:
        >>> word_f1("the green house", ["house"])
        0.6666666666666666
    """
    return max(_word_f1(normalised(answer).split(), normalised(a).split()) for a in accepted)


def _word_f1(words: Sequence[str], truth: Sequence[str]) -> float:
    n_shared = sum((Counter(words) & Counter(truth)).values())
    return 2 * n_shared / (len(words) + len(truth)) if n_shared else 0.0
