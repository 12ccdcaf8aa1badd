"""Files of optimizers are read back, and what is none gets one line."""

import json
from pathlib import Path

import pytest

from optuna_evo import catalog
from optuna_evo.config import NamedOptimizer
from optuna_evo.config import optimizer_to_dict
from optuna_evo.config import read_rule_file
from optuna_evo.errors import UsageError
from optuna_evo.rules import program
from optuna_evo.rules import read_program


@pytest.mark.parametrize("name", sorted(catalog))
@pytest.mark.parametrize("origin", ["", "Found by optuna_evo, trial 3 of study 'x'. " * 5])
def test_a_program_is_read_for_its_equation(name: str, origin: str) -> None:
    genome = catalog[name]
    rule = genome.rule
    found = read_program(program(genome, name="Mine", origin=origin))
    assert found is not None and found.genome == genome
    assert (found.name, found.equation) == ("Mine", rule.equation())
    assert found.origin == origin.strip()
    assert found.defaults["lr"] == rule.lr
    assert found.defaults["weight_decay"] == rule.weight_decay


def test_a_statement_that_is_wrapped_is_read_as_one_line() -> None:
    from optuna_evo import Genome

    names = ("GRAD", "MOMENTUM", "RMS_NORM", "ADAM_TERM", "SIGN_GRAD", "SQRT_GRAD", "AGREEMENT")
    genome = Genome(terms=[(name, 0.12345) for name in names])
    text = program(genome)
    assert any(line.startswith(" " * 8) for line in text.splitlines()[:9])
    found = read_program(text)
    assert found is not None and found.equation == genome.equation()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "print('hello')",
        '"""A file."""\n\nclass A:\n    def __init__(self):\n        pass',
        "class (",
        "\0",
        program(catalog["adam"]).replace("in one file", "in a file"),
        program(catalog["adam"]).replace("class ", "class Other: pass\nclass ", 1),
        program(catalog["adam"]).replace("lr=0.001", "lr=open('x')"),
    ],
)
def test_another_program_is_not_read(text: str) -> None:
    assert read_program(text) is None


def test_json_of_ours_is_read(tmp_path: Path) -> None:
    file, genome = tmp_path / "rule.json", catalog["published_2025"]
    file.write_text(json.dumps(genome.to_dict()))
    found = read_rule_file(file)
    assert (found.optimizer, found.equation, found.facts) == (genome, genome.equation(), {})
    optimizer = NamedOptimizer.of("NAdam", lr=1e-3)
    file.write_text(json.dumps({"name": "mine", **optimizer_to_dict(optimizer)}))
    found = read_rule_file(file)
    assert (found.optimizer, found.facts) == (optimizer, {"name": "mine"})
    file.write_text('{"term_types": [3], "alphas": [1], "lr_log10": -3}')
    assert read_rule_file(file).equation.startswith("m ←")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("rule.json", b"{", "it is no JSON"),
        ("rule.json", b"[" * 100_000, "it is no JSON"),
        ("rule.json", b"[1]", "it holds no table"),
        ("rule.json", b"{}", "An optimizer must be one of"),
        ("rule.json", b'{"terms": [["NONE", 1]]}', "A term must be a pair"),
        ("rule.json", b'{"terms": 3}', "`terms` must be a list"),
        ("rule.json", b'{"genome": 3}', "must be a table"),
        ("rule.json", b'{"torch": [1, 2]}', ""),
        ("rule.json", b'{"controller": null}', ""),
        ("rule.json", b"\xff\xfe", "it is no text"),
        ("rule.json", b" " * 1_000_001, "it is larger"),
        ("rule.py", b"import os", "no optimizer that was exported"),
    ],
)
def test_what_is_not_ours_is_said_in_one_line(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_rule_file(tmp_path / name)
    message = str(caught.value)
    assert told in message and "is no optimizer of ours" in message and "\n" not in message
    assert len(message) < 600


def test_a_file_that_is_not_there_is_said() -> None:
    with pytest.raises(UsageError, match="Cannot read nowhere.json"):
        read_rule_file(Path("nowhere.json"))
