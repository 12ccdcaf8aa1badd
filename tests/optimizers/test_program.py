"""A rule written as one file trains as `EvolvedOptimizer` does, and needs nothing but torch."""

import ast
import importlib.util
import inspect
from pathlib import Path
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo import Genome
from optuna_evo.rules import program
from tests.optimizers import published_loop
from tests.optimizers.test_evolved import assert_equal
from tests.optimizers.test_evolved import EVERYTHING
from tests.optimizers.test_evolved import parameters
from tests.optimizers.test_evolved import run


SHAPES = ((4, 3), (5,), (), (2, 3, 2, 2))
GENOMES = {name: catalog[name] for name in catalog} | {
    "everything": EVERYTHING,
    "agreement": Genome(terms=[("AGREEMENT", 0.7), ("SIGN_MOMENTUM", -0.1)], beta1=0.8),
    "warm-up without a horizon": Genome(
        terms=[("GRAD", 1.0)], use_warmup=True, warmup_steps=7, lr=0.03
    ),
    "no correction": Genome(terms=[("ADAM_TERM", 1.0)], use_bias_correction=False),
    "nadam and more": Genome(
        terms=[("NADAM", 1.0), ("RMS_NORM", 0.3), ("ADAM_TERM", -0.2)],
        warmup_share=0.1,
        decay="linear",
        tail_average=0.3,
        use_bias_correction=False,
    ),
    "every modifier": Genome(
        terms=[("LION", 1.0), ("ADAM_TERM", 0.5), ("SQRT_GRAD", 0.1)],
        use_gradient_clipping=True,
        clip_value=0.5,
        use_cautious=True,
        use_rms_norm=True,
        norm_bound=0.5,
        weight_decay=0.1,
        lr=0.05,
    ),
    "both matrix terms": Genome(
        terms=[("ORTHOGONAL", 1.0), ("SOAP", 0.5), ("LION", 0.2), ("NADAM", 0.4)],
        beta1=0.8,
        beta2=0.9,
        use_cautious=True,
        norm_bound=0.5,
        weight_decay=0.1,
        lr=0.03,
        decay="wsd",
        tail_average=0.5,
    ),
    "matrix terms of the gradient": Genome(
        terms=[("ORTHOGONAL", 1.0), ("SOAP", 0.5)], use_m=False, use_bias_correction=False
    ),
    "only decay": Genome(terms=[("GRAD", 0.0)], weight_decay=0.1),
}


def written(text: str, folder: Path, name: str = "EvolvedRule") -> Any:
    """Return the class of a file with this text."""
    file = folder / f"rule_{abs(hash(text))}.py"
    file.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def length(kind: Any, steps: int) -> dict[str, int]:
    """Return the keyword that says it, where the rule has a schedule."""
    takes = "total_steps" in inspect.signature(kind).parameters
    return {"total_steps": steps} if takes else {}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", GENOMES)
def test_a_written_rule_trains_bit_for_bit(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    genome, outcomes = GENOMES[name], []
    kind = written(program(genome), tmp_path)
    for make in (
        lambda p: EvolvedOptimizer(p, genome, total_steps=100, foreach=False),
        lambda p: kind(p, **length(kind, 100)),
    ):
        params = [torch.nn.Parameter(p.detach().to(dtype)) for p in parameters(*SHAPES)]
        outcomes.append(run(make(params), params, range(100)))
    assert_equal(*outcomes)


def test_random_rules_train_bit_for_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for genome in [Genome.from_dict(published_loop.random_seed(rng)) for _ in range(40)]:
        outcomes = []
        kind = written(program(genome), tmp_path)
        for make in (
            lambda p, g=genome: EvolvedOptimizer(p, g, total_steps=20, foreach=False),
            lambda p, k=kind: k(p, **length(k, 20)),
        ):
            params = parameters(*SHAPES)
            outcomes.append(run(make(params), params, range(20)))
        assert_equal(*outcomes)


@pytest.mark.parametrize("name", GENOMES)
def test_a_written_rule_imports_torch_and_holds_nothing_that_it_does_not_use(name: str) -> None:
    text = program(GENOMES[name])
    tree = ast.parse(text)
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert imported <= {"contextlib", "functools", "math", "torch"}
    step = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "step")
    stored = {n.id for n in ast.walk(step) if _is(n, ast.Store)} - {"_"}
    assert stored <= {n.id for n in ast.walk(step) if _is(n, ast.Load)}
    kept = set(re.findall(r'state\["(\w+)"\] = torch', text))
    assert kept == {
        {"m": "exp_avg", "v": "exp_avg_sq", "s": "exp_avg_slow"}[s]
        for s in GENOMES[name].rule.needs
    }
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--isolated",
            "--select",
            "E,F",
            "--line-length=99",
            "-",
        ],
        input=text,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout


def _is(node: ast.AST, context: type) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, context)


def test_the_equation_and_the_origin_stand_in_the_docstring() -> None:
    text = program(catalog["lion"], name="Lion", origin="Trial 7 of study 'x'.")
    docstring = ast.get_docstring(ast.parse(text)) or ""
    assert catalog["lion"].rule.equation().splitlines()[0] in docstring
    assert "Trial 7 of study 'x'." in docstring
    assert "class Lion(torch.optim.Optimizer)" in text


def test_a_docstring_cannot_be_ended_by_the_origin() -> None:
    text = program(catalog["sgd"], origin='"""\nimport os\nos.system("true")\n"""\\')
    assert not [
        n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Attribute) and n.attr == "system"
    ]


def test_a_name_that_is_no_identifier_is_refused() -> None:
    with pytest.raises(ValueError, match="identifier"):
        program(catalog["sgd"], name="a b")


def test_a_cosine_without_a_length_is_refused(tmp_path: Path) -> None:
    genome = Genome(terms=[("GRAD", 1.0)], use_cosine_decay=True)
    with pytest.raises(ValueError, match="total_steps"):
        written(program(genome), tmp_path)(parameters(*SHAPES))
