"""The GPU kernel without a GPU: interpreted, it is the readable loop; and it compiles."""

from collections.abc import Iterator
import os
import subprocess
import sys
from typing import Any

import pytest
import torch

from optuna_evo.optimizers._columns import COLUMNS
from optuna_evo.rules import AVERAGES
from optuna_evo.rules import NUMBERS
from tests.optimizers.steps import by_rows
from tests.optimizers.steps import dense_direction
from tests.optimizers.steps import gradients
from tests.optimizers.steps import numbers_with
from tests.optimizers.steps import of_rules
from tests.optimizers.steps import random_rules
from tests.optimizers.steps import symbols_of
from tests.optimizers.steps import TERMS


SIZES = (19, 1, 0, 16)


def interpret(one_by_one: bool, by_value: bool) -> None:
    """Train four tensors, each along its own terms, with the interpreted kernel in float64."""
    from optuna_evo.optimizers import _triton

    _triton._BLOCK = 16
    n_steps = 2
    grads = gradients(n_steps)
    alone = [[numbers_with({term: 0.1})] * n_steps for term in TERMS]
    whole = [[tuple(row) for row in rows] for rows in rules_by_step(4, n_steps)]
    for four in batched([*alone, *whole], len(SIZES)):
        params = [torch.ones(size, dtype=torch.float64) for size in SIZES]
        symbols = {s for numbers in four for s in symbols_of(numbers[0])}
        averages = {s: [torch.zeros_like(p) for p in params] for s in symbols}
        d = [dense_direction()[:size].clone() for size in SIZES]
        for step, g in enumerate(grads):
            columns = {"params": params, "grads": [g[:size].clone() for size in SIZES]}
            columns |= {AVERAGES[s].state: tensors for s, tensors in averages.items()}
            columns |= {"directions": d}
            none = [torch.empty(0)] * len(SIZES)
            table = [t.data_ptr() for name in COLUMNS[:-1] for t in columns.get(name, none)]
            numbers = torch.tensor([rows[step] for rows in four], dtype=torch.float64)
            cpu = torch.device("cpu")
            if not by_value:
                _triton.launch(
                    torch.float64, [*table, *SIZES], numbers, cpu, one_by_one=one_by_one
                )
                continue
            for i, row in enumerate(four):  # each tensor alone: one row is for all
                alone_table = [*table[i :: len(SIZES)], SIZES[i]]
                _triton.launch(torch.float64, alone_table, row[step], cpu, one_by_one=one_by_one)
        for rows, p in zip(four, params, strict=True):
            expected = by_rows(rows, grads)[: len(p)]
            torch.testing.assert_close(p, expected, rtol=1e-12, atol=1e-12)


def rules_by_step(count: int, n_steps: int) -> list[list[list[float]]]:
    steps = [of_rules(random_rules(count), step + 1).tolist() for step in range(n_steps)]
    return [[rows[i] for rows in steps] for i in range(count)]


def batched(items: list[Any], size: int) -> Iterator[list[Any]]:
    """Yield lists of exactly `size` items; the last one is filled up from the start."""
    for first in range(0, len(items), size):
        yield (items[first:] + items)[:size]


def test_every_term_of_the_interpreted_kernel_is_its_row() -> None:
    pytest.importorskip("triton")
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    ways = [(one, value) for one in (True, False) for value in (True, False)]
    call = f"from {__name__} import interpret; [interpret(*way) for way in {ways}]"
    command = [sys.executable, "-c", call]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("by_value", [True, False])
def test_the_kernels_compile_for_an_h100(dtype: torch.dtype, by_value: bool) -> None:
    triton = pytest.importorskip("triton")
    from triton.backends.compiler import GPUTarget

    from optuna_evo.optimizers import _triton

    width = len(COLUMNS) - 1
    kind = _triton.Kind(*_triton.TYPES[dtype], (True,) * width, True, by_value)
    constants = {"KIND": kind, "BLOCK": 2048}
    kinds = dict.fromkeys(constants, "constexpr")
    numbers = ("i64",) * len(NUMBERS) if by_value else "*fp64"
    signatures = {
        _triton._step_all: {"table": "*i64", "n": "i32", "numbers": numbers, "stride": "i32"},
        _triton._step_one: {"tensors": ("i64",) * width, "size": "i64", "numbers": numbers},
    }
    for kernel, signature in signatures.items():
        source = triton.compiler.ASTSource(kernel, signature | kinds, constants)
        compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32))
        assert "ld.global.v4" in compiled.asm["ptx"] or dtype == torch.float64
        assert compiled.asm["cubin"]
