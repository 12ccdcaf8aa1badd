"""Questions as windows, answers as spans, and the official metric on cases made by hand."""

from pathlib import Path
from typing import Any

import pytest
import torch

from optuna_evo import tasks
from optuna_evo.errors import DataError
from optuna_evo.tasks import scores
from optuna_evo.tasks import Split
from optuna_evo.tasks._answers import best_spans
from optuna_evo.tasks._answers import exact_match
from optuna_evo.tasks._answers import normalised
from optuna_evo.tasks._answers import word_f1
from tests.tasks.test_text_classification import write_rows


OPTIONS: dict[str, Any] = {"weights": "fresh", "tokenizer": "bytes", "sequence_length": 32}


@pytest.mark.parametrize(
    ("answer", "accepted", "match", "f1"),
    [
        ("Denver Broncos", ["the Denver Broncos!", "Denver"], 1.0, 1.0),
        ("The  an A", ["a"], 1.0, 0.0),  # nothing is left: equal, but no word is shared
        ("in the year 1066", ["1066"], 0.0, 0.5),
        ("Saint Bernadette", ["Bernadette Soubirous", "saint bernadette soubirous"], 0.0, 0.8),
        ("no no", ["no"], 0.0, 2 / 3),
        ("U.S.", ["US"], 1.0, 1.0),
        ("green", ["blue"], 0.0, 0.0),
    ],
)
def test_answers_are_compared_as_the_official_script_does(
    answer: str, accepted: list[str], match: float, f1: float
) -> None:
    assert exact_match(answer, accepted) == match
    assert word_f1(answer, accepted) == pytest.approx(f1)


def test_articles_go_only_as_whole_words() -> None:
    assert normalised("Another theatre, a THE an-an") == "another theatre anan"


def test_a_span_ends_after_its_start_within_thirty_allowed_tokens() -> None:
    logits = torch.zeros(1, 50, 2)
    logits[0, 40, 0], logits[0, 5, 1] = 9.0, 9.0  # a start after the end
    logits[0, 2, 0], logits[0, 45, 1] = 5.0, 5.0  # too long for a span
    allowed = torch.ones(1, 50, dtype=torch.bool)
    spans, sums = best_spans(logits, allowed)
    assert spans.tolist() == [[2, 5]] or spans.tolist() == [[40, 45]]
    assert sums.item() == 14.0
    allowed[0, :40] = False
    assert best_spans(logits, allowed)[0].tolist() == [[40, 45]]


CONTEXT = "the cat sat on the mat while the dog slept under the old oak tree in the garden"


def write_squad(folder: Path, n_titles: int = 6) -> None:
    rows = []
    for title in range(n_titles):
        for n, answer in enumerate(("cat", "dog", "oak tree", "garden")):
            start = CONTEXT.index(answer)
            answers = {"text": [answer], "answer_start": [start]}
            question = f"q{title}{n} {answer}?"
            rows.append((f"{title}-{n}", f"t{title}", CONTEXT, question, answers))
    names = ("id", "title", "context", "question", "answers")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    write_rows(folder / "text/squad/train.parquet", columns)
    write_rows(folder / "text/squad/validation.parquet", {k: v[:4] for k, v in columns.items()})


def answered_outputs(split: Split) -> torch.Tensor:
    """Return logits that mark the right span wherever a window holds it."""
    outputs = torch.zeros(*split.inputs.shape, 2)
    for row, (first, last) in enumerate(split.targets.tolist()):
        outputs[row, first, 0] = outputs[row, last, 1] = 9.0 if first else 0.0
    return outputs


def test_the_marked_span_of_every_window_is_the_answer(tmp_path: Path) -> None:
    write_squad(tmp_path)
    train = tasks.get("squad", **OPTIONS).load(tmp_path).train
    for (first, last), window in zip(train.targets.tolist(), train.extras, strict=True):
        start, end = window.offsets[first, 0], window.offsets[last, 1]
        assert window.context[start:end] == window.answers[0]


def test_long_texts_are_windows_and_a_question_counts_once(tmp_path: Path) -> None:
    write_squad(tmp_path)
    task = tasks.get("squad", **OPTIONS)
    valid = task.load(tmp_path).valid
    assert len(valid) > len({window.question for window in valid.extras}) == 4
    assert scores(task, answered_outputs(valid), valid) == {"exact_match": 1.0, "f1": 1.0}


def test_validation_questions_are_of_other_articles(tmp_path: Path) -> None:
    write_squad(tmp_path, n_titles=10)
    splits = tasks.get("squad", **OPTIONS, valid_rows=6).load(tmp_path)
    train, valid = (
        {window.question.split("-")[0] for window in part.extras}
        for part in (splits.train, splits.valid)
    )
    assert len(train) == 8 and len(valid) == 2 and not train & valid
    assert len({window.question for window in splits.valid.extras}) == 6


def test_the_model_gives_a_start_and_an_end_for_every_token(tmp_path: Path) -> None:
    write_squad(tmp_path)
    task = tasks.get("squad", **OPTIONS, architecture="roberta")
    train = task.load(tmp_path).train
    outputs = task.build_model()(train.inputs[:3])
    assert outputs.shape == (3, 32, 2)
    assert 2 < task.loss(outputs, train.targets[:3]).item() < 6


def test_a_stride_of_half_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="`task.stride` less than half of it, got 32 and 16"):
        tasks.get("squad", **OPTIONS, stride=16)


def test_questions_in_another_form_are_one_clear_line(tmp_path: Path) -> None:
    write_rows(tmp_path / "text/squad/train.parquet", {"id": ["a"]})
    with pytest.raises(DataError, match="must be a parquet file with the columns id, title, con"):
        tasks.get("squad", **OPTIONS).load(tmp_path)


@pytest.mark.data
def test_the_real_questions_are_read_with_their_answers(data_folder: Path) -> None:
    task = tasks.get("squad", weights="fresh", train_rows=200, valid_rows=100)
    splits = task.load(data_folder)
    assert len({window.question for window in splits.valid.extras}) == 100
    found = scores(task, answered_outputs(splits.valid), splits.valid)
    # what is left over: answers that no window holds whole, or that are part of a token
    assert found["exact_match"] > 0.97
