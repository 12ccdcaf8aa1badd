"""From logits of starts and ends to answers in words, and how good they are.

Shape legend: n windows, t tokens of a window.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from optuna_evo.tasks._answers import exact_match
from optuna_evo.tasks._answers import word_f1


__all__ = ["answer_scores", "best_spans", "Window"]

_MAX_ANSWER = 30  # tokens, as in BERT's run_squad.py
_WINDOWS_AT_ONCE = 64


class Window(NamedTuple):
    """The text behind a row of tokens.

    `offsets` (t, 2) are the places of each token in the context, from and to; -1 for a token that
    is not of the context.
    """

    question: str
    context: str
    offsets: Tensor
    answers: tuple[str, ...]


def answer_scores(outputs: Tensor, windows: Sequence[Window]) -> dict[str, float]:
    """Return exact match and F1, means over questions, in 0..1.

    Args:
        outputs: Tensor (n, t, 2), logits of start and end.
        windows: What the rows stand for; a question's answer is the best of its windows.
    """
    offsets = torch.stack([window.offsets for window in windows])
    spans, merits = best_spans(outputs, offsets[..., 0] >= 0)
    best: dict[str, tuple[float, str]] = {}
    for window, (first, last), merit in zip(windows, spans.tolist(), merits.tolist(), strict=True):
        start, end = int(window.offsets[first, 0]), int(window.offsets[last, 1])
        answer = window.context[start:end]
        best[window.question] = max((merit, answer), best.get(window.question, (merit, answer)))
    accepted = {window.question: window.answers for window in windows}
    pairs = [(answer, accepted[question]) for question, (_, answer) in best.items()]
    return {
        "exact_match": sum(exact_match(*pair) for pair in pairs) / len(pairs),
        "f1": sum(word_f1(*pair) for pair in pairs) / len(pairs),
    }


def best_spans(logits: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Return the likeliest spans.

    Args:
        logits: Tensor (n, t, 2) of start and end.
        allowed: Tensor (n, t), whether a token may be in an answer.

    Returns:
        First and last token (n, 2), at most 30 tokens, and their sums of logits (n,).
    """
    t = logits.shape[1]
    band = torch.ones(t, t, dtype=torch.bool, device=logits.device)
    band = band.triu().tril(_MAX_ANSWER - 1)
    spans, merits = [], []
    pieces = zip(
        torch.split(logits, _WINDOWS_AT_ONCE), torch.split(allowed, _WINDOWS_AT_ONCE), strict=True
    )
    for some, may in pieces:
        sums = some[:, :, None, 0] + some[:, None, :, 1]  # (n, t, t), [first, last]
        sums = sums.where(band & may[:, :, None] & may[:, None, :], -torch.inf)
        merit, place = sums.flatten(1).max(dim=1)
        spans.append(torch.stack([place // t, place % t], dim=1))
        merits.append(merit)
    return torch.cat(spans), torch.cat(merits)
