"""From logits of starts and ends to answers in words, and how good they are.

Exact match and F1 are those of SQuAD's official evaluation script (evaluate-v1.1.py): Rajpurkar,
Zhang, Lopyrev, Liang 2016, "SQuAD: 100,000+ questions for machine comprehension of text". Values
are in 0..1, where the script prints percent.

Shape legend: n windows, t tokens of a window.
"""

from collections import Counter
from collections.abc import Sequence
import re
import string
from typing import NamedTuple

import torch
from torch import Tensor


__all__ = ["answer_scores", "best_spans", "exact_match", "normalised", "Window", "word_f1"]

_MAX_ANSWER = 30  # tokens: `max_answer_length` of BERT's run_squad.py
# The sums of all pairs of start and end need t^2 numbers per window: not for all windows at once.
_WINDOWS_AT_ONCE = 64
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Window(NamedTuple):
    """The text behind a row of tokens.

    `offsets` (t, 2) are the start and end of each token in the context; -1 for a token outside it.
    """

    question: str
    context: str
    offsets: Tensor
    answers: tuple[str, ...]


def answer_scores(outputs: Tensor, windows: Sequence[Window]) -> dict[str, float]:
    """Return exact match and F1, means over questions, in 0..1.

    Args:
        outputs: Tensor (n, t, 2), logits of start and end.
        windows: The texts behind the rows; a question's answer is the best of its windows.
    """
    offsets = torch.stack([window.offsets for window in windows])
    spans, sums = best_spans(outputs, offsets[..., 0] >= 0)
    best: dict[str, tuple[float, str]] = {}
    for window, (first, last), logits in zip(windows, spans.tolist(), sums.tolist(), strict=True):
        start, end = int(window.offsets[first, 0]), int(window.offsets[last, 1])
        answer = window.context[start:end]
        best[window.question] = max((logits, answer), best.get(window.question, (logits, answer)))
    accepted = {window.question: window.answers for window in windows}
    pairs = [(answer, accepted[question]) for question, (_, answer) in best.items()]
    return {
        "exact_match": sum(exact_match(*pair) for pair in pairs) / len(pairs),
        "f1": sum(word_f1(*pair) for pair in pairs) / len(pairs),
    }


def best_spans(logits: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Return the most likely span of each window: the largest sum of start and end logit.

    Args:
        logits: Tensor (n, t, 2) of start and end.
        allowed: Tensor (n, t), whether a token may be in an answer.

    Returns:
        First and last token (n, 2), at most 30 tokens, and their sums of logits (n,).
    """
    t = logits.shape[1]
    band = torch.ones(t, t, dtype=torch.bool, device=logits.device)
    band = band.triu().tril(_MAX_ANSWER - 1)  # first <= last < first + 30
    spans, best = [], []
    pieces = zip(
        torch.split(logits, _WINDOWS_AT_ONCE), torch.split(allowed, _WINDOWS_AT_ONCE), strict=True
    )
    for some, may in pieces:
        sums = some[:, :, None, 0] + some[:, None, :, 1]  # (n, t, t), [first, last]
        sums = sums.where(band & may[:, :, None] & may[:, None, :], -torch.inf)
        largest, place = sums.flatten(1).max(dim=1)
        spans.append(torch.stack([place // t, place % t], dim=1))
        best.append(largest)
    return torch.cat(spans), torch.cat(best)


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


def normalised(answer: str) -> str:
    """Return the answer in lower case without punctuation, articles and repeated blanks.

    Example:
        >>> normalised("The  Norman's")
        'normans'
    """
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())
