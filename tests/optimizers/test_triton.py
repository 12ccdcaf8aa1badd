"""The GPU kernel without a GPU: interpreted, it is the readable loop; and it compiles."""

import os
import subprocess
import sys

import pytest
import torch

from tests.optimizers.test_flat import by_loop
from tests.optimizers.test_flat import gradients
from tests.optimizers.test_flat import numbers_of
from tests.optimizers.test_flat import random_rules


SIZES = (37, 1, 0, 36)


def interpret(one_by_one: bool) -> None:
    """Train four tensors, each by its own rule, with the interpreted kernel in float64."""
    from optuna_evo.optimizers import _triton

    _triton._BLOCK = 16
    rules, n_steps = random_rules(12), 3
    for first in range(0, len(rules), len(SIZES)):
        four = rules[first : first + len(SIZES)]
        params = [torch.ones(size, dtype=torch.float64) for size in SIZES]
        averages = [[torch.zeros_like(p) for p in params] for _ in range(2)]
        for step, g in enumerate(gradients(n_steps), start=1):
            grads = [g[:size].clone() for size in SIZES]
            columns = (params, grads, *averages)
            table = [t.data_ptr() for column in columns for t in column]
            numbers = numbers_of(four, step)
            _triton.launch(torch.float64, [*table, *SIZES], numbers, one_by_one=one_by_one)
        for rule, p in zip(four, params, strict=True):
            expected = by_loop(rule, gradients(n_steps))[: len(p)]
            torch.testing.assert_close(p, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("one_by_one", [True, False])
def test_the_interpreted_kernel_is_the_readable_loop(one_by_one: bool) -> None:
    pytest.importorskip("triton")
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    call = f"from {__name__} import interpret; interpret({one_by_one})"
    command = [sys.executable, "-c", call]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_kernels_compile_for_an_h100(dtype: torch.dtype) -> None:
    triton = pytest.importorskip("triton")
    from triton.backends.compiler import GPUTarget

    from optuna_evo.optimizers import _triton

    constants = {"KIND": _triton.Kind(*_triton.TYPES[dtype], True, True, True), "BLOCK": 2048}
    kinds = dict.fromkeys(constants, "constexpr")
    addresses = dict.fromkeys(("param", "grad", "exp_avg", "exp_avg_sq", "size"), "i64")
    signatures = {
        _triton._step_all: {"table": "*i64", "n": "i32", "numbers": "*fp64", "stride": "i32"},
        _triton._step_one: {**addresses, "numbers": "*fp64"},
    }
    for kernel, signature in signatures.items():
        source = triton.compiler.ASTSource(kernel, signature | kinds, constants)
        compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32))
        assert "ld.global.v4" in compiled.asm["ptx"] or dtype == torch.float64
        assert compiled.asm["cubin"]
