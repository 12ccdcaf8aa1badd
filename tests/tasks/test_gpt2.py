"""The GPT-2 task: any text, bytes or byte pairs, weights that Hugging Face reads back."""

import math
from pathlib import Path

import pytest
import torch

from optuna_evo import tasks
from optuna_evo.errors import DataError
from optuna_evo.errors import UsageError
from optuna_evo.tasks import Task
from optuna_evo.tasks._tokenizers import encode
from optuna_evo.tasks._tokenizers import load_tokenizer


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "poem.txt"
    path.write_text("".join(f"line {n} of a poem\n" for n in range(400)))
    return path


@pytest.fixture
def task(text: Path) -> Task:
    return tasks.get("gpt2", text=str(text), sequence_length=32, valid_tokens=96)


def test_an_untrained_model_knows_next_to_nothing(task: Task) -> None:
    rows = task.load(None).valid
    with torch.random.fork_rng(), torch.inference_mode():
        loss = task.metric(task.build_model().eval()(rows.inputs), rows.targets)
    assert loss.item() == pytest.approx(math.log(257), abs=0.3)


def test_targets_are_the_inputs_one_token_on(task: Task) -> None:
    train = task.load(None).train
    assert torch.equal(train.inputs[:, 1:], train.targets[:, :-1])
    assert torch.equal(train.inputs[1:, 0], train.targets[:-1, -1])


def test_validation_rows_are_spread_over_the_held_out_text(text: Path) -> None:
    few, all_rows = (
        tasks.get("gpt2", text=str(text), sequence_length=16, valid_tokens=n).load(None).valid
        for n in (48, 10**6)
    )
    assert len(few) == 3 < len(all_rows)
    assert torch.equal(few.inputs[-1], all_rows.inputs[2 * len(all_rows) // 3])


def test_the_model_cannot_see_what_it_predicts(task: Task) -> None:
    model = task.build_model(dropout=0.0).eval()
    row = task.load(None).train.inputs[:1]
    changed = row.clone()
    changed[0, 20:] = 65
    with torch.inference_mode():
        torch.testing.assert_close(model(row)[:, :20], model(changed)[:, :20])


def test_bytes_are_gpt2s_tokenizer_without_merges() -> None:
    documents = ["Grüße, world", "zwei"]
    tokens = encode(documents, "bytes")
    tokenizer = load_tokenizer("bytes")
    assert tokenizer("Grüße, world")["input_ids"] == tokens[:14].tolist()
    assert tokenizer.decode(tokens.tolist()) == "Grüße, world<|endoftext|>zwei"


def test_documents_of_a_parquet_file_are_shuffled(tmp_path: Path) -> None:
    import pandas

    path = tmp_path / "reviews.parquet"
    rows = {"label": range(200), "text": [f"review {n:03} " * 5 for n in range(200)]}
    pandas.DataFrame(rows).to_parquet(path)
    train = tasks.get("gpt2", text=str(path), sequence_length=32, valid_tokens=64).load(None).train
    beginning = bytes(train.inputs[:3].flatten().tolist()[:40]).decode()
    assert beginning.startswith("review ") and "review 000" not in beginning


def test_what_is_saved_is_read_back_by_transformers(task: Task, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    model = task.build_model(dropout=0.0).eval()
    model.save_pretrained(tmp_path / "saved")  # type: ignore[operator]
    again = tasks.get("gpt2", weights=str(tmp_path / "saved"), sequence_length=32)
    row = task.load(None).train.inputs[:2]
    with torch.inference_mode():
        torch.testing.assert_close(again.build_model().eval()(row), model(row))
    assert AutoTokenizer.from_pretrained(tmp_path / "saved")("ab")["input_ids"] == [97, 98]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "huge"}, "`task.size` must be one of tiny, mini, small; got 'huge'"),
        ({"sequence_length": 65}, "`task.sequence_length` must be from 2 to 64, got 65"),
        ({"valid_tokens": 9}, "`task.valid_tokens` must be at least the sequence length, 64"),
    ],
)
def test_an_option_out_of_range_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tasks.get("gpt2", **options)


def test_a_text_shorter_than_a_sequence_is_refused(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("To be, or not to be: " * 20)
    task = tasks.get("gpt2", text="short.txt")
    with pytest.raises(DataError, match="420 tokens, of which 21 for the valid rows; a row need"):
        task.load(tmp_path)


def test_a_text_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no text 'nowhere.txt': name a text or parquet"):
        tasks.get("gpt2", text="nowhere.txt").load(tmp_path)


def test_an_unknown_tokenizer_folder_is_named(text: Path, tmp_path: Path) -> None:
    task = tasks.get("gpt2", text=str(text), tokenizer=str(tmp_path / "none"))
    with pytest.raises(DataError, match="No tokenizer in '.*none': it does not exist. Name a fo"):
        task.load(None)


@pytest.mark.data
def test_byte_pairs_and_imdb_come_from_the_data_folder(data_folder: Path) -> None:
    task = tasks.get("gpt2", text="imdb", tokenizer="gpt2", valid_tokens=640)
    splits = task.load(data_folder)
    words = load_tokenizer("gpt2", data_folder).decode(splits.valid.inputs[0])
    assert splits.source.startswith("IMDB reviews in") and words.count(" ") > 20


def test_training_rows_are_limited_and_the_others_stay() -> None:
    few, whole = (tasks.get("gpt2", text="stdlib", train_rows=n).load(None) for n in (20, None))
    assert len(few.train) == 20 < len(whole.train)
    assert torch.equal(few.valid.inputs, whole.valid.inputs)
    with pytest.raises(UsageError, match="`task.train_rows` must be at least 1, got 0"):
        tasks.get("gpt2", train_rows=0)
