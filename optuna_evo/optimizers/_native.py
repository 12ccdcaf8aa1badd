"""The step as one compiled pass on a CPU: `_kernel.cpp`, built once per machine and dtype.

A build takes a few seconds, the first time a rule steps on parameters of a dtype. The library is
kept in `$XDG_CACHE_HOME/optuna_evo` (default `~/.cache/optuna_evo`) and serves every rule, model
and process from then on. Without a C++ compiler there is none, and the log says so once.
"""

from collections.abc import Sequence
import ctypes
import functools
import hashlib
import logging
import os
from pathlib import Path
import platform
import shutil
import subprocess
import tempfile
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optuna_evo.optimizers._columns import COLUMNS
from optuna_evo.rules import NUMBERS


__all__ = ["is_available", "launch", "terms"]

_SOURCE = Path(__file__).with_name("_kernel.cpp")
_TYPES = {
    torch.float32: ("float", "float"),
    torch.float64: ("double", "double"),
    torch.bfloat16: ("bfloat16", "float"),
}
_COMPILERS = ("c++", "g++", "clang++")
_FLAGS = ("-std=c++17", "-O2", "-ftree-vectorize", "-shared", "-fPIC")
# errno and traps would keep sqrt and selects from being vectorised
_FAST_FLAGS = ("-fno-math-errno", "-fno-trapping-math", "-fopenmp")
_INSTRUCTIONS = {"AVX2": "-march=x86-64-v3", "AVX512": "-march=x86-64-v4"}


def is_available(dtype: torch.dtype) -> bool:
    """Tell whether parameters of this type can be stepped; builds the library if need be."""
    return _library(dtype) is not None


def terms(dtype: torch.dtype) -> frozenset[str]:
    """Return the names of the terms that the kernel has a line for."""
    library = _library(dtype)
    return frozenset() if library is None else library.terms


def launch(
    dtype: torch.dtype, table: Sequence[int] | np.ndarray, numbers: Tensor | Sequence[float]
) -> None:
    """Do one step over tensors given by their addresses, on as many threads as torch uses.

    Args:
        dtype: Type of parameters and gradients; averages are float32 for bfloat16.
        table: The `COLUMNS` of n tensors: addresses (0 where the rule reads no such tensor) and
            numbers of elements. All tensors of a row have the same memory layout.
        numbers: `step_numbers`, or a row of them for each tensor, (n, numbers); float64.
    """
    library = _library(dtype)
    assert library is not None
    address: Any
    if isinstance(numbers, Tensor):
        rows = numbers.contiguous()
        address, stride = rows.data_ptr(), rows.shape[-1] if rows.ndim == 2 else 0
    else:
        address, stride = (ctypes.c_double * len(numbers))(*numbers), 0
    columns: Any
    if isinstance(table, np.ndarray):
        columns = table.ctypes.data
    else:
        columns = (ctypes.c_int64 * len(table))(*table)
    lacking = library.optuna_evo_step(
        len(table) // len(COLUMNS),
        columns,
        address,
        stride,
        torch.get_num_threads(),
    )
    if lacking:
        raise ValueError(
            "The numbers of a step read an average or a direction that is not there: say in the "
            "`needs` of the rule which averages it reads."
        )


@functools.cache
def _library(dtype: torch.dtype) -> Any:
    """Return the library, with the names of its terms as `terms`; None if there is none."""
    if dtype not in _TYPES:
        return None
    try:
        library: Any = ctypes.CDLL(str(_build(*_TYPES[dtype])))
    except (OSError, subprocess.SubprocessError) as error:
        _say_once(str(error))
        return None
    library.optuna_evo_terms.restype = ctypes.c_int64
    bits = library.optuna_evo_terms()
    library.terms = frozenset(name for i, name in enumerate(NUMBERS) if bits >> i & 1)
    library.optuna_evo_step.restype = ctypes.c_int
    library.optuna_evo_step.argtypes = [
        ctypes.c_int64,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_int64,
        ctypes.c_int,
    ]
    return library


@functools.cache
def _say_once(reason: str) -> None:
    logging.getLogger(__name__).warning(
        "Evolved optimizers step by torch's multi-tensor operations, which take 2 to 5 times as "
        "long as one compiled pass: %s. Install a C++ compiler, or choose `fused=False`.",
        reason,
    )


def _build(param: str, real: str) -> Path:
    """Return the library for one type; compile it if it is not in the cache."""
    compiler = os.environ.get("CXX") or next(filter(shutil.which, _COMPILERS), None)
    if compiler is None:
        raise FileNotFoundError(f"none of the C++ compilers {', '.join(_COMPILERS)} is installed")
    instructions = _INSTRUCTIONS.get(torch.backends.cpu.get_cpu_capability())
    fast = (*_FLAGS, *_FAST_FLAGS, *([instructions] if instructions else []))
    names = (f"-DNUMBERS={','.join(NUMBERS)}", f"-DCOLUMNS={','.join(COLUMNS)}")
    types = (f"-DPARAM={param}", f"-DREAL={real}", *names)
    recipe = "\n".join([_SOURCE.read_text(), compiler, platform.platform(), *fast, *types])
    name = f"step_{param}_{hashlib.sha256(recipe.encode()).hexdigest()[:16]}.so"
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "optuna_evo"
    if not (folder / name).exists():
        folder.mkdir(parents=True, exist_ok=True)
        # whole or not at all: others may build the same at the same time
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            path = Path(scratch) / name
            try:
                _compile(compiler, *fast, *types, out=path)
            except subprocess.CalledProcessError:  # a compiler without OpenMP, or an older one
                _compile(compiler, *_FLAGS, *types, out=path)
            path.replace(folder / name)
    return folder / name


def _compile(compiler: str, *flags: str, out: Path) -> None:
    command = [compiler, *flags, str(_SOURCE), "-o", str(out)]
    subprocess.run(command, check=True, capture_output=True, text=True)
