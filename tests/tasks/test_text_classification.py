"""Texts as tokens, their parts, and encoders on them; synthetic rows, single bytes as tokens."""

from pathlib import Path
from typing import Any

import pytest
import torch

from optuna_evo import tasks
from optuna_evo.errors import DataError
from optuna_evo.tasks import Task


FRESH: dict[str, Any] = {"weights": "fresh", "tokenizer": "bytes", "sequence_length": 16}


@pytest.fixture(autouse=True)
def _no_named_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPTUNA_EVO_DATA", raising=False)


def write_rows(path: Path, columns: dict[str, list[Any]]) -> None:
    import pyarrow
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(columns), path)


@pytest.fixture
def imdb_folder(tmp_path: Path) -> Path:
    texts = [f"{'good' if row % 2 else 'bad'} {row % 37}" for row in range(40)]
    labels = [row % 2 for row in range(40)]
    write_rows(tmp_path / "text/imdb/train.parquet", {"text": texts, "label": labels})
    test = {"text": [texts[3], "new", "new", "another"], "label": [1, 0, 0, 1]}
    write_rows(tmp_path / "text/imdb/test.parquet", test)
    return tmp_path


def keys(split: tasks.Split) -> list[bytes]:
    return [row.tobytes() for row in split.inputs.numpy()]


def test_equal_rows_are_one_and_the_three_parts_are_disjoint(imdb_folder: Path) -> None:
    task = tasks.get("imdb", **FRESH, valid_rows=5)
    splits, test = task.load(imdb_folder), task.load_test(imdb_folder)
    assert (len(splits.train), len(splits.valid), len(test)) == (35, 5, 2)
    rows = keys(splits.train) + keys(splits.valid) + keys(test)
    assert len(set(rows)) == len(rows) == 42
    assert splits.source == f"imdb in {imdb_folder / 'text/imdb'}"


def test_fewer_training_rows_leave_the_validation_rows_as_they_are(imdb_folder: Path) -> None:
    whole, few = (
        tasks.get("imdb", **FRESH, train_rows=n, valid_rows=6).load(imdb_folder)
        for n in (None, 10)
    )
    assert len(few.train) == 10 and set(keys(few.train)) <= set(keys(whole.train))
    assert torch.equal(few.valid.inputs, whole.valid.inputs)


def test_validation_rows_are_sorted_by_length_and_keep_their_classes(imdb_folder: Path) -> None:
    valid = tasks.get("imdb", **FRESH).load(imdb_folder).valid
    lengths = (valid.inputs != 0).sum(1)
    assert lengths.tolist() == sorted(lengths.tolist())
    first_letters = {
        (row[1].item(), target.item())
        for row, target in zip(valid.inputs, valid.targets, strict=True)
    }
    assert len(first_letters) == 2  # "good" and "bad"


def test_official_validation_rows_are_used_where_the_test_has_labels(tmp_path: Path) -> None:
    for part, n in (("train", 9), ("validation", 4), ("test", 3)):
        pairs = {"sentence1": [f"{part} {i}" for i in range(n)], "sentence2": ["x"] * n}
        path = tmp_path / f"text/glue/mrpc/{part}.parquet"
        write_rows(path, pairs | {"label": [i % 2 for i in range(n)]})
    task = tasks.get("mrpc", **FRESH)
    splits = task.load(tmp_path)
    assert (len(splits.train), len(splits.valid), len(task.load_test(tmp_path))) == (9, 4, 3)


def test_pairs_are_separated_cut_alike_and_told_apart_by_type() -> None:
    from optuna_evo.tasks._encoders import Encoder

    options = {"size": "tiny", "weights": "fresh", "tokenizer": "bytes", "sequence_length": 9}
    encoder = Encoder(architecture="bert", **options)  # type: ignore[arg-type]
    tokens = encoder.encode(["aaaaaaaa", "a"], ["bbb", "b"], None)
    a, b = tokens[1, 1].item(), tokens[1, 3].item()
    assert tokens.tolist() == [
        [101, a, a, a, 102, b, b, b, 102],
        [101, a, 102, b, 102, 0, 0, 0, 0],
    ]
    model = encoder.build("SequenceClassification", 2, 0.1)
    assert model._types(tokens)[0].tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1]
    roberta = Encoder(architecture="roberta", **options)  # type: ignore[arg-type]
    start, _, sep, sep_too, _, end, pad, *_ = roberta.encode(["a"], ["b"], None)[0].tolist()
    assert (start, sep, sep_too, end, pad) == (0, 2, 2, 2, 1)


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta"])
def test_padding_changes_nothing_and_every_token_counts(architecture: str) -> None:
    task = tasks.get("ag_news", **FRESH, architecture=architecture)
    torch.manual_seed(0)
    model = task.build_model().eval()
    from optuna_evo.tasks._encoders import Encoder

    encoder = Encoder(architecture=architecture, size="tiny", **FRESH)
    short, long, other = encoder.encode(["abc", "abcdefghijk", "abd"], None, None)
    with torch.inference_mode():
        alone = model(short[None])
        beside = model(torch.stack([short, long, other]))
    assert alone.shape == (1, 4)
    torch.testing.assert_close(alone[0], beside[0])
    assert not torch.allclose(beside[0], beside[2])


def test_the_notes_name_the_weights() -> None:
    task = tasks.get("sst2", architecture="distilbert", weights="fresh", size="mini")
    assert task.notes == {"weights": "fresh mini DistilBERT"}


def test_published_weights_that_are_not_in_the_cache_are_not_downloaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert tasks.get("rte", size="base", valid_rows=7).notes == {"weights": "fresh base BERT"}


def test_weights_are_read_from_a_folder(tmp_path: Path) -> None:
    from optuna_evo.tasks._encoder_tokens import encoder_tokenizer

    saved = tasks.get("imdb", **FRESH).build_model()
    saved.encoder.save_pretrained(tmp_path)  # type: ignore[operator, union-attr]
    encoder_tokenizer("bert", "bytes").save_pretrained(tmp_path)
    task = tasks.get("imdb", weights=str(tmp_path), sequence_length=16)
    assert task.notes == {"weights": f"pretrained BERT {tmp_path}"}
    again = task.build_model(dropout=0.3)
    for name, tensor in saved.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "gpt"}, "`task.architecture` must be one of bert, distilbert, roberta"),
        ({"size": "huge"}, "`task.size` must be one of tiny, mini, base, large; got 'huge'"),
        ({"sequence_length": 4}, "`task.sequence_length` must be .* from 8 to 512, got 4"),
        ({"sequence_length": "long"}, "`task.sequence_length` must be .* got 'long'"),
        ({"tokenizer": "./none"}, "`task.tokenizer` names the folder './none', .* is \"bytes\""),
        ({"weights": "/none"}, "`task.weights` names the folder '/none', .* is \"fresh\""),
        ({"valid_rows": 0}, "`task.valid_rows` must be at least 1, got 0"),
        ({"colour": 1}, "Unknown option 'colour': the task 'imdb' takes: architecture, size"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tasks.get("imdb", **options)


def check_one_line(task: Task, folder: Path, *parts: str) -> None:
    with pytest.raises(DataError) as caught:
        task.load(folder)
    assert "\n" not in str(caught.value)
    assert all(part in str(caught.value) for part in parts), caught.value


def test_a_folder_without_a_tokenizer_is_named(imdb_folder: Path) -> None:
    (imdb_folder / "empty").mkdir()
    task = tasks.get("imdb", weights="fresh", tokenizer=str(imdb_folder / "empty"))
    check_one_line(task, imdb_folder, f"No tokenizer in '{imdb_folder}/empty'", '"bytes"')


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    task = tasks.get("imdb", weights=str(tmp_path), tokenizer="bytes")
    with pytest.raises(DataError, match='No weights in .* task.weights = "fresh"') as caught:
        task.build_model()
    assert "\n" not in str(caught.value)


def test_a_file_without_the_columns_is_named(imdb_folder: Path) -> None:
    path = imdb_folder / "text/imdb/train.parquet"
    write_rows(path, {"text": ["a"]})
    check_one_line(tasks.get("imdb", **FRESH), imdb_folder, str(path), "columns text, label")


def test_missing_rows_without_network_are_one_helpful_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    task = tasks.get("cola", **FRESH)
    check_one_line(
        task, tmp_path, "No data for cola", "text/glue/cola/train.parquet", "--data-dir"
    )


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        pytest.param("imdb", (3_997, 999, 4_987), marks=pytest.mark.slow),
        pytest.param("ag_news", (8_808, 1_000, 7_599), marks=pytest.mark.slow),
        pytest.param("sst2", (65_973, 1_000, 872), marks=pytest.mark.slow),
        ("cola", (7_528, 1_000, 1_023)),
        ("mrpc", (3_668, 408, 1_725)),
        ("rte", (1_991, 497, 277)),
    ],
)
def test_the_real_files_have_the_sizes_that_are_documented(
    name: str, sizes: tuple[int, ...], data_folder: Path
) -> None:
    task = tasks.get(name)
    splits = task.load(data_folder)
    assert (len(splits.train), len(splits.valid), len(task.load_test(data_folder))) == sizes
    assert set(splits.train.targets.tolist()) == set(range(4 if name == "ag_news" else 2))


def test_similarity_of_sentences_is_a_regression(tmp_path: Path) -> None:
    for part, n in (("train", 20), ("validation", 4)):
        pairs = {"sentence1": [f"{i}{part[:2]}" for i in range(n)], "sentence2": ["x"] * n}
        path = tmp_path / f"text/glue/stsb/{part}.parquet"
        write_rows(path, pairs | {"label": [5.0 * i / n for i in range(n)]})
    task = tasks.get("stsb", **FRESH)
    splits, test = task.load(tmp_path), task.load_test(tmp_path)
    assert (len(splits.train), len(splits.valid), len(test)) == (16, 4, 4)
    assert task.kind == "regression" and not task.higher_is_better
    with torch.inference_mode():
        outputs = task.build_model().eval()(splits.valid.inputs)
    assert outputs.shape == (4, 1) and splits.valid.targets.dtype == torch.float32
    mse = tasks.scores(task, outputs, splits.valid)["mse"]
    assert float(task.metric(outputs, splits.valid.targets)) == pytest.approx(mse, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "columns", "test_part", "n_classes"),
    [
        ("mnli", ("premise", "hypothesis"), "validation_matched", 3),
        ("qnli", ("question", "sentence"), "validation", 2),
        ("qqp", ("question1", "question2"), "validation", 2),
        ("wnli", ("sentence1", "sentence2"), "validation", 2),
    ],
)
def test_the_other_tasks_of_glue_are_read(
    tmp_path: Path, name: str, columns: tuple[str, str], test_part: str, n_classes: int
) -> None:
    for part, n in (("train", 10), (test_part, 3)):
        first, second = columns
        rows = {first: [f"{i}{part[:2]}" for i in range(n)], second: ["y"] * n}
        path = tmp_path / f"text/glue/{name}/{part}.parquet"
        write_rows(path, rows | {"label": [i % n_classes for i in range(n)]})
    task = tasks.get(name, **FRESH)
    splits = task.load(tmp_path)
    assert (len(splits.train), len(splits.valid), len(task.load_test(tmp_path))) == (8, 2, 3)
    assert task.build_model().eval()(splits.valid.inputs).shape == (2, n_classes)
