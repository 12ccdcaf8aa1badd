"""Classes of texts or pairs of texts: IMDB, AG News and the nine of GLUE, by an encoder.

    task      classes  text                   train and validation from   test
    imdb      2        review                 train                       official test
    ag_news   4        title and first lines  train                       official test
    sst2      2        sentence               train                       official validation
    cola      2        sentence               train                       official validation
    mrpc      2        two sentences          train; official validation  official test
    rte       2        two sentences          train                       official validation
    mnli      3        premise, hypothesis    train                       matched validation
    qnli      2        question, sentence     train                       official validation
    qqp       2        two questions          train                       official validation
    wnli      2        two sentences          train                       official validation
    stsb      -        two sentences          train                       official validation

`stsb` is a regression: how similar the two are, from 0 to 5; its metric is the mean squared error.

GLUE does not publish its test labels (except MRPC's), so the official validation rows are the
test, and validation rows are drawn from the training rows: `valid_rows`, at most a fifth. Rows
with the same tokens are one row; test rows that are also training or validation rows are left out.
A row that is longer than `sequence_length` is cut at its end.

Data: Maas et al. 2011; Zhang, Zhao, LeCun 2015; Wang et al. 2018 (GLUE), Socher et al. 2013,
Warstadt et al. 2018, Dolan and Brockett 2005, Dagan et al. 2006, Williams et al. 2018, Rajpurkar
et al. 2016, Levesque et al. 2012, Cer et al. 2017 and others.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import functools
from pathlib import Path
from typing import Any
from typing import NamedTuple

import torch
from torch import nn
from torch import Tensor

from optuna_evo.tasks._encoders import Encoder
from optuna_evo.tasks._files import data_folder
from optuna_evo.tasks._files import read_columns
from optuna_evo.tasks._measures import accuracy
from optuna_evo.tasks._measures import cross_entropy
from optuna_evo.tasks._measures import mean_squared_error
from optuna_evo.tasks._task import check_rows
from optuna_evo.tasks._task import partition
from optuna_evo.tasks._task import Split
from optuna_evo.tasks._task import Splits
from optuna_evo.tasks._task import Task


__all__ = [
    "ag_news",
    "cola",
    "imdb",
    "mnli",
    "mrpc",
    "qnli",
    "qqp",
    "rte",
    "sst2",
    "stsb",
    "text_classification",
    "wnli",
]


class _TextSet(NamedTuple):
    n_outputs: int  # one for each class; 1 is a number
    columns: Sequence[str]
    hub: tuple[str, str | None]
    valid: str | None  # the official part for validation; None: drawn from the training rows
    test: str


_GLUE = "nyu-mll/glue"
_SETS: Mapping[str, _TextSet] = {
    "imdb": _TextSet(2, ["text"], ("stanfordnlp/imdb", None), None, "test"),
    "ag_news": _TextSet(4, ["text"], ("fancyzhx/ag_news", None), None, "test"),
    "sst2": _TextSet(2, ["sentence"], (_GLUE, "sst2"), None, "validation"),
    "cola": _TextSet(2, ["sentence"], (_GLUE, "cola"), None, "validation"),
    "mrpc": _TextSet(2, ["sentence1", "sentence2"], (_GLUE, "mrpc"), "validation", "test"),
    "rte": _TextSet(2, ["sentence1", "sentence2"], (_GLUE, "rte"), None, "validation"),
    "mnli": _TextSet(3, ["premise", "hypothesis"], (_GLUE, "mnli"), None, "validation_matched"),
    "qnli": _TextSet(2, ["question", "sentence"], (_GLUE, "qnli"), None, "validation"),
    "qqp": _TextSet(2, ["question1", "question2"], (_GLUE, "qqp"), None, "validation"),
    "wnli": _TextSet(2, ["sentence1", "sentence2"], (_GLUE, "wnli"), None, "validation"),
    "stsb": _TextSet(1, ["sentence1", "sentence2"], (_GLUE, "stsb"), None, "validation"),
}


def text_classification(
    name: str,
    *,
    architecture: str = "bert",
    size: str = "tiny",
    weights: str = "auto",
    tokenizer: str = "auto",
    sequence_length: int = 128,
    train_rows: int | None = None,
    valid_rows: int = 1_000,
) -> Task:
    """Make a task; in a spec: `task = { architecture = "distilbert", sequence_length = 64 }`.

    Its model takes `dropout`.

    Args:
        name: One of the table above.
        architecture: "bert", "distilbert" or "roberta".
        size: "tiny", "mini", "base" or "large".
        weights: "auto", "fresh", or a folder or hub name (see `Encoder`).
        tokenizer: "auto", "bytes", or a folder or hub name.
        sequence_length: Tokens per row, 8 to 512.
        train_rows: Largest number of training rows; None: all.
        valid_rows: Largest number of validation rows.

    Raises:
        UsageError: If an option is out of range (a ValueError).

    Example:
        >>> task = text_classification("imdb", architecture="distilbert", weights="fresh")
        >>> task.notes["weights"]
        'fresh tiny DistilBERT'
    """
    check_rows(train_rows=train_rows, valid_rows=valid_rows)
    encoder = Encoder(
        architecture=architecture,
        size=size,
        weights=weights,
        tokenizer=tokenizer,
        sequence_length=sequence_length,
    )
    is_number = _SETS[name].n_outputs == 1
    return Task(
        name=name,
        kind="regression" if is_number else "classification",
        build_model=_builder(encoder, _SETS[name].n_outputs),
        load=functools.partial(_load, name, encoder, train_rows, valid_rows),
        load_test=functools.partial(_load_test, name, encoder),
        loss=mean_squared_error if is_number else cross_entropy,
        metric=mean_squared_error if is_number else accuracy,
        batch_size=32,
        higher_is_better=not is_number,
        bfloat16=encoder.bfloat16,
        notes=encoder.notes,
    )


imdb = functools.partial(text_classification, "imdb")
ag_news = functools.partial(text_classification, "ag_news")
sst2 = functools.partial(text_classification, "sst2")
cola = functools.partial(text_classification, "cola")
mrpc = functools.partial(text_classification, "mrpc")
rte = functools.partial(text_classification, "rte")
mnli = functools.partial(text_classification, "mnli")
qnli = functools.partial(text_classification, "qnli")
qqp = functools.partial(text_classification, "qqp")
wnli = functools.partial(text_classification, "wnli")
stsb = functools.partial(text_classification, "stsb")


def _builder(encoder: Encoder, n_outputs: int) -> Callable[..., nn.Module]:
    def build(*, dropout: float = 0.1) -> nn.Module:
        return encoder.build("SequenceClassification", n_outputs, dropout)

    return build


def _load(
    name: str,
    encoder: Encoder,
    train_rows: int | None,
    valid_rows: int,
    data_dir: Path | None = None,
) -> Splits:
    train, valid, source = _known(name, encoder, data_folder(data_dir))
    n_valid = min(valid_rows, len(valid or train) if valid else len(train) // 5)
    if valid is None:
        rest, held_out = partition(len(train), len(train) - n_valid, n_valid)
        train, valid = train.take(rest), train.take(held_out)
    else:
        valid = valid.take(partition(len(valid), n_valid)[0])
    # cut last, so that fewer training rows leave the validation rows as they are
    if train_rows is not None and train_rows < len(train):
        train = train.take(partition(len(train), train_rows)[0])
    return Splits(train, encoder.shortest_first(valid), source)


def _load_test(name: str, encoder: Encoder, data_dir: Path | None = None) -> Split:
    folder = data_folder(data_dir)
    train, valid, _ = _known(name, encoder, folder)
    # compared as tokens: texts that differ only behind the cut are the same row to the model
    seen = {*_keys(train.inputs), *(_keys(valid.inputs) if valid else ())}
    test, _ = _encoded(name, encoder, _SETS[name].test, folder)
    return encoder.shortest_first(_without(test, seen))


# `load` and `load_test` both need these rows, and to tokenise them takes up to a minute.
@functools.lru_cache(maxsize=4)
def _known(name: str, encoder: Encoder, folder: Path | None) -> tuple[Split, Split | None, str]:
    """Return training and official validation rows, disjoint, and where they came from."""
    train, source = _encoded(name, encoder, "train", folder)
    part = _SETS[name].valid
    if part is None:
        return train, None, source
    valid, _ = _encoded(name, encoder, part, folder)
    return train, _without(valid, set(_keys(train.inputs))), source


def _encoded(name: str, encoder: Encoder, part: str, folder: Path | None) -> tuple[Split, str]:
    """Return a part of a data set as tokens, equal rows once, and where it came from."""
    texts, source = _read(name, part, folder)
    first, *second = (texts[column] for column in _SETS[name].columns)
    tokens = encoder.encode(first, second[0] if second else None, folder)
    return _without(Split(tokens, torch.tensor(texts["label"])), set()), source


def _read(name: str, part: str, folder: Path | None) -> tuple[Mapping[str, list[Any]], str]:
    hub, config = _SETS[name].hub
    inner = f"glue/{name}" if hub == _GLUE else name
    return read_columns(
        name,
        part,
        [*_SETS[name].columns, "label"],
        places=[f"{place}{inner}/{part}.parquet" for place in ("text/", "")],
        hub=hub,
        config=config,
        folder=folder,
    )


def _without(split: Split, seen: set[bytes]) -> Split:
    """Return the rows that are not `seen`, each once, in their order."""
    rows = [row for row, key in enumerate(_keys(split.inputs)) if _is_new(key, seen)]
    return split.take(torch.tensor(rows))


def _is_new(key: bytes, seen: set[bytes]) -> bool:
    is_new = key not in seen
    seen.add(key)
    return is_new


def _keys(tokens: Tensor) -> list[bytes]:
    return [row.tobytes() for row in tokens.numpy()]
