"""SQuAD: which words of a text answer a question, by an encoder that marks their start and end.

Training and validation questions are those of the training file, on different articles: whole
articles are held out until there are `valid_rows` questions, at most a fifth of the articles. The
test is the file of validation questions. A text that is too long for one row becomes several
overlapping windows; of the training rows only windows that hold the answer remain, of the others
all, and a question's answer is the best over its windows. Questions are cut to half a row.

The loss is the mean cross entropy of start and end, the task's own metric the share of windows in
which both are right; `objective.metric` may be "exact_match" or "f1", the official ones, over
questions.

Data: Rajpurkar, Zhang, Lopyrev, Liang 2016. Model: Devlin et al. 2019.

Shape legend: n windows, t tokens of a row.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import functools
from pathlib import Path
from typing import Any
from typing import NamedTuple

import torch
from torch import nn
from torch import Tensor
import torch.nn.functional as F

from optuna_evo.errors import DataError
from optuna_evo.errors import UsageError
from optuna_evo.tasks._answers import Window
from optuna_evo.tasks._encoders import Encoder
from optuna_evo.tasks._files import data_folder
from optuna_evo.tasks._files import read_columns
from optuna_evo.tasks._task import check_rows
from optuna_evo.tasks._task import partition
from optuna_evo.tasks._task import Split
from optuna_evo.tasks._task import Splits
from optuna_evo.tasks._task import Task


__all__ = ["squad"]

_HUB_NAME = "rajpurkar/squad"


class _Question(NamedTuple):
    id: str
    title: str
    context: str
    question: str
    answers: Mapping[str, Sequence[Any]]  # "text", "answer_start"


def squad(
    *,
    architecture: str = "bert",
    size: str = "tiny",
    weights: str = "auto",
    tokenizer: str = "auto",
    sequence_length: int = 128,
    stride: int | None = None,
    train_rows: int | None = None,
    valid_rows: int = 1_000,
) -> Task:
    """Make the task; in a spec: `task = { architecture = "roberta", size = "base" }`.

    Its model takes `dropout`.

    Args:
        architecture: "bert", "distilbert" or "roberta".
        size: "tiny", "mini", "base" or "large".
        weights: "auto", "fresh", or a folder or hub name (see `Encoder`).
        tokenizer: "auto", "bytes", or a folder or hub name.
        sequence_length: Tokens per row, 16 to 512; published models used 384.
        stride: Tokens that neighbouring windows share, less than half a row; None: a quarter.
        train_rows: Largest number of training questions; None: all.
        valid_rows: Largest number of validation questions.

    Raises:
        UsageError: If an option is out of range (a ValueError).

    Example:
        >>> squad(weights="fresh").kind
        'question_answering'
    """
    encoder = Encoder(
        architecture=architecture,
        size=size,
        weights=weights,
        tokenizer=tokenizer,
        sequence_length=sequence_length,
    )
    stride = sequence_length // 4 if stride is None else stride
    if sequence_length < 16 or not 0 <= stride < sequence_length // 2:
        raise UsageError(
            "`task.sequence_length` must be at least 16 and `task.stride` less than half of it, "
            f"got {sequence_length} and {stride}."
        )
    check_rows(train_rows=train_rows, valid_rows=valid_rows)

    def build(*, dropout: float = 0.1) -> nn.Module:
        return encoder.build("QuestionAnswering", 2, dropout)

    cut = functools.partial(_windows, encoder=encoder, stride=stride)

    def load(data_dir: Path | None = None) -> Splits:
        folder = data_folder(data_dir)
        questions, source = _read("train", folder)
        train, valid = _by_article(questions, valid_rows)
        train = train[:train_rows]
        return Splits(cut(train, folder, answered=True), cut(valid, folder), source)

    def load_test(data_dir: Path | None = None) -> Split:
        folder = data_folder(data_dir)
        return cut(_read("validation", folder)[0], folder)

    return Task(
        name="squad",
        kind="question_answering",
        build_model=build,
        load=load,
        load_test=load_test,
        loss=_loss,
        metric=_right_spans,
        batch_size=32,
        bfloat16=encoder.bfloat16,
        notes=encoder.notes,
    )


def _loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross entropy of start and end from outputs (n, t, 2), targets (n, 2)."""
    return F.cross_entropy(outputs.float(), targets)


def _right_spans(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.argmax(dim=1) == targets).all(dim=1).float().mean()


def _by_article(
    questions: Sequence[_Question], valid_rows: int
) -> tuple[list[_Question], list[_Question]]:
    """Return training and validation questions, each in a fixed random order."""
    # By article, since questions on one text have answers in common: a random half would leak.
    titles = sorted({question.title for question in questions})
    (order,) = partition(len(titles), len(titles))
    rank = {titles[place]: n for n, place in enumerate(order.tolist())}
    # mixed, so that `train_rows` and `valid_rows` take questions of many articles
    (shuffle,) = partition(len(questions), len(questions))
    mixed = [questions[row] for row in shuffle.tolist()]
    counts = [0] * len(titles)
    for question in questions:
        counts[rank[question.title]] += 1
    n_held_out = 1
    while sum(counts[:n_held_out]) < valid_rows and n_held_out < len(titles) // 5:
        n_held_out += 1
    held_out = [question for question in mixed if rank[question.title] < n_held_out]
    rest = [question for question in mixed if rank[question.title] >= n_held_out]
    return rest, held_out[:valid_rows]


def _windows(
    questions: Sequence[_Question],
    folder: Path | None,
    *,
    encoder: Encoder,
    stride: int,
    answered: bool = False,
) -> Split:
    """Return the windows of questions; of those with `answered` only what holds the answer."""
    length = encoder.sequence_length
    tokenizer = encoder.tokenizer_in(folder)
    # half a row, less the special tokens: the other half is left for the context
    asked = _cut_to(length // 2 - 4, [question.question for question in questions], tokenizer)
    encoded = tokenizer(
        asked,
        [question.context for question in questions],
        truncation="only_second",
        max_length=length,
        stride=stride,
        padding="max_length",
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    targets, extras, rows = [], [], []
    for row, number in enumerate(encoded["overflow_to_sample_mapping"]):
        question = questions[number]
        of_context = torch.tensor([part == 1 for part in encoded.sequence_ids(row)])
        offsets = torch.tensor(encoded["offset_mapping"][row]).where(of_context[:, None], -1)
        span = _span(offsets, question)
        if span is None and answered:
            continue
        rows.append(row)
        targets.append(span or (0, 0))  # the start token, as in BERT, stands for "not in here"
        answers = tuple(question.answers["text"])
        extras.append(Window(question.id, question.context, offsets, answers))
    if not rows:
        raise DataError(
            "No window of the training texts holds a whole answer: set a longer "
            "task.sequence_length, or check the file's column `answers`."
        )
    tokens = encoder.checked(torch.tensor(encoded["input_ids"]))[torch.tensor(rows)]
    split = Split(tokens, torch.tensor(targets), extras)
    return split if answered else encoder.shortest_first(split)


def _cut_to(n_tokens: int, texts: Sequence[str], tokenizer: Any) -> list[str]:
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        truncation=True,
        max_length=n_tokens,
        return_offsets_mapping=True,
    )
    ends = [offsets[-1][1] if offsets else 0 for offsets in encoded["offset_mapping"]]
    return [text[:end] for text, end in zip(texts, ends, strict=True)]


def _span(offsets: Tensor, question: _Question) -> tuple[int, int] | None:
    """Return the first and last token of the first accepted answer; None if it is not whole."""
    start = int(question.answers["answer_start"][0])
    end = start + len(question.answers["text"][0])
    first = (offsets[:, 0] <= start) & (offsets[:, 1] > start)
    last = (offsets[:, 0] < end) & (offsets[:, 1] >= end)
    if not (first.any() and last.any()):
        return None
    return int(first.nonzero()[0]), int(last.nonzero()[-1])


def _read(part: str, folder: Path | None) -> tuple[list[_Question], str]:
    columns, source = read_columns(
        "squad",
        part,
        _Question._fields,
        places=[f"text/squad/{part}.parquet", f"squad/{part}.parquet"],
        hub=_HUB_NAME,
        folder=folder,
    )
    return [_Question(*row) for row in zip(*columns.values(), strict=True)], source
