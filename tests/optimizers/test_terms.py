"""Every term in every fast path against its row, for one model and for a stack."""

from collections.abc import Callable
import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from optuna_evo.optimizers import _dispatch
from optuna_evo.optimizers import _flat
from optuna_evo.optimizers import _foreach
from optuna_evo.optimizers import _native
from optuna_evo.optimizers import update_flat
from optuna_evo.optimizers._dispatch import update_tensors
from optuna_evo.optimizers._foreach import foreach_update
from optuna_evo.optimizers._fused import fused_update
from optuna_evo.optimizers._reference import reference_update
from optuna_evo.rules import AVERAGES
from optuna_evo.rules import FROZEN
from tests.optimizers.steps import by_rows
from tests.optimizers.steps import dense_direction
from tests.optimizers.steps import gradients
from tests.optimizers.steps import numbers_with
from tests.optimizers.steps import SIZE
from tests.optimizers.steps import symbols_of
from tests.optimizers.steps import TERMS


N_STEPS = 8
TWO = [SIZE - 7, 7]  # sizes of two tensors
TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5}
LISTS: dict[str, Callable[..., None]] = {"foreach": foreach_update, "compiled": fused_update}


def each_step(term: str, factor: float = 1.0) -> list[tuple[float, ...]]:
    """Return numbers of steps along one term that change from step to step."""
    scales = [factor * (1 + 0.1 * step) for step in range(N_STEPS)]
    return [numbers_with({term: 0.01 * s}, rms_scale=1.2 / s, decay=1 - 0.01 * s) for s in scales]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("term", TERMS)
def test_a_term_of_one_model_is_its_row(term: str, path: str, dtype: torch.dtype) -> None:
    grads, numbers = gradients(N_STEPS, dtype), each_step(term)
    # in two tensors, so that lists are lists
    w = list(torch.ones(SIZE, dtype=dtype).split(TWO))
    averages = {
        symbol: list(torch.zeros(SIZE, dtype=dtype).split(TWO))
        for symbol in symbols_of(numbers[0])
    }
    directions = list(dense_direction(dtype).split(TWO)) if term == "dense" else None
    for row, g in zip(numbers, grads, strict=True):
        LISTS[path](w, list(g.split(TWO)), averages, row, directions)
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(
        torch.cat(w), by_rows(numbers, grads), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("term", TERMS)
def test_a_term_in_a_flat_buffer_is_its_row(term: str, fused: bool, dtype: torch.dtype) -> None:
    grads, numbers, w = gradients(N_STEPS, dtype), each_step(term), torch.ones(SIZE, dtype=dtype)
    averages = {symbol: torch.zeros_like(w) for symbol in symbols_of(numbers[0])}
    d = dense_direction(dtype) if term == "dense" else None
    for row, g in zip(numbers, grads, strict=True):
        update_flat(
            w, g, averages, torch.tensor(row, dtype=torch.float64), directions=d, fused=fused
        )
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(w, by_rows(numbers, grads), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("term", TERMS)
def test_a_term_beside_all_others_in_a_stack_is_its_row(
    term: str, fused: bool, dtype: torch.dtype
) -> None:
    """One member reads the term, one another, one both; one stands still."""
    grads, other = gradients(N_STEPS, dtype), TERMS[(TERMS.index(term) + 1) % len(TERMS)]
    mine, theirs = each_step(term), each_step(other, 0.5)
    both = [
        tuple(a if TERMS_FIRST <= i else a + b for i, (a, b) in enumerate(zip(x, y, strict=True)))
        for x, y in zip(mine, theirs, strict=True)
    ]
    members = [mine, theirs, both]
    w = torch.ones(4, SIZE, dtype=dtype)
    symbols = {symbol for numbers in members for symbol in symbols_of(numbers[0])}
    averages = {symbol: torch.zeros_like(w) for symbol in sorted(symbols)}
    d = dense_direction(dtype).expand(4, -1).contiguous()
    for step, g in enumerate(grads):
        rows = [*(numbers[step] for numbers in members), FROZEN]
        numbers = torch.tensor(rows, dtype=torch.float64)
        update_flat(w, g.expand(4, -1), averages, numbers, directions=d, fused=fused)
    tolerance = TOLERANCE[dtype]
    expected = [*(by_rows(numbers, grads) for numbers in members), torch.ones(SIZE, dtype=dtype)]
    torch.testing.assert_close(w, torch.stack(expected), rtol=tolerance, atol=tolerance)


TERMS_FIRST = len(TERMS)  # the scalars follow the steps along the terms


@pytest.mark.parametrize("fused", [True, False])
def test_tensors_of_a_stack_can_have_numbers_of_their_own(fused: bool) -> None:
    grads, sizes = gradients(N_STEPS), [10, SIZE - 11, 1]
    terms = [("grad", "adam_term", "sign_grad"), ("momentum", "sqrt_grad", "rms_norm")]
    w = torch.ones(2, SIZE, dtype=torch.float64)
    averages = {symbol: torch.zeros_like(w) for symbol in ("m", "v")}
    for step, g in enumerate(grads):
        rows = [[each_step(term)[step] for term in member] for member in terms]
        numbers = torch.tensor(rows, dtype=torch.float64)
        update_flat(w, g.expand(2, -1), averages, numbers, sizes=sizes, fused=fused)
    for member, own in zip(terms, w, strict=True):
        for t, (term, part) in enumerate(zip(member, own.split(sizes), strict=True)):
            numbers, w_t = each_step(term), torch.ones_like(part)
            kept = {symbol: [torch.zeros_like(part)] for symbol in symbols_of(numbers[0])}
            for row, g in zip(numbers, grads, strict=True):
                update_tensors([w_t], [g.split(sizes)[t]], kept, row, foreach=False, fused=False)
            torch.testing.assert_close(part, w_t, rtol=1e-11, atol=1e-11)


def test_rows_for_tensors_that_are_not_there_are_refused() -> None:
    w, numbers = torch.ones(2, SIZE), torch.zeros(2, 3, len(FROZEN), dtype=torch.float64)
    with pytest.raises(ValueError, match="a row for each of 2 tensors in `sizes`, got shape"):
        update_flat(w, w, {}, numbers, sizes=[30, 7])


@pytest.mark.parametrize("path", LISTS)
def test_an_average_that_is_there_is_updated_though_no_term_reads_it(path: str) -> None:
    g, numbers = gradients(1), numbers_with({"grad": 0.1})
    w = torch.ones(SIZE, dtype=torch.float64)
    averages = {symbol: [torch.ones_like(w)] for symbol in AVERAGES}
    expected = {symbol: [torch.ones_like(w)] for symbol in AVERAGES}
    LISTS[path]([w], g, averages, numbers, None)
    reference_update([w.clone()], g, expected, numbers)
    for symbol in AVERAGES:
        torch.testing.assert_close(averages[symbol], expected[symbol], rtol=1e-13, atol=1e-13)
        assert not torch.equal(averages[symbol][0], torch.ones_like(w))


@pytest.mark.parametrize("term", [term for term in TERMS if symbols_of(numbers_with({term: 1.0}))])
def test_a_step_that_reads_what_is_not_there_is_refused(term: str) -> None:
    w = torch.ones(3)
    with pytest.raises(ValueError, match="read an average or a direction that is not there"):
        fused_update([w], [w], {}, numbers_with({term: 0.1}))
    assert torch.equal(w, torch.ones(3))


def test_every_set_of_terms_is_what_its_rows_say() -> None:
    grads = gradients(1)
    for chosen in itertools.product((0.0, 0.1), repeat=len(TERMS)):
        numbers = numbers_with(dict(zip(TERMS, chosen, strict=True)))
        w = torch.ones(SIZE, dtype=torch.float64)
        averages = {symbol: [torch.zeros_like(w)] for symbol in symbols_of(numbers)}
        fused_update([w], grads, averages, numbers, [dense_direction()])
        torch.testing.assert_close(w, by_rows([numbers], grads), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_a_gradient_that_is_not_finite_does_the_same_in_every_path(
    term: str, value: float
) -> None:
    numbers, outcomes = numbers_with({term: 0.1}, clip=torch.inf), []
    for path in ("rows", "foreach", "compiled", "flat", "flat compiled"):
        w, d = torch.ones(2), torch.tensor([1.0, 2.0])
        averages = {symbol: [torch.zeros(2)] for symbol in symbols_of(numbers)}
        for g in (torch.tensor([value, 1.0]), torch.tensor([-1.0, -1.0])):
            if path in LISTS:
                LISTS[path]([w], [g], averages, numbers, [d])
            elif path == "rows":
                update_tensors([w], [g], averages, numbers, [d], foreach=False, fused=False)
            else:
                flat = {symbol: tensors[0] for symbol, tensors in averages.items()}
                row, fused = torch.tensor(numbers, dtype=torch.float64), path == "flat compiled"
                update_flat(w, g, flat, row, directions=d, fused=fused)
        outcomes.append(w)
    for outcome in outcomes[1:]:
        torch.testing.assert_close(outcome, outcomes[0], equal_nan=True)


def test_every_fast_path_has_a_line_for_every_term() -> None:
    assert _foreach.TERMS == set(TERMS)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        assert _native.is_available(dtype)
        assert _native.terms(dtype) == set(TERMS)
    triton = pytest.importorskip("optuna_evo.optimizers._triton")
    assert triton.TERMS == set(TERMS)


def train(step: Callable[[Tensor, Tensor, dict[str, Tensor]], None], symbols: list[str]) -> Tensor:
    w = torch.ones(SIZE, dtype=torch.float64)
    averages = {symbol: torch.zeros_like(w) for symbol in symbols}
    for g in gradients(N_STEPS):
        step(w, g, averages)
    return w


@pytest.mark.parametrize("term", TERMS)
def test_a_path_that_lacks_a_term_leaves_the_step_to_one_that_has_it(
    term: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesser = frozenset(TERMS) - {term}
    for module in (_dispatch, _flat):
        monkeypatch.setattr(module, "kernel_terms", lambda device, dtype: lesser)
    monkeypatch.setattr(_foreach, "TERMS", lesser)

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("This path lacks the term.")

    for module, name in (
        (_dispatch, "fused_update"),
        (_flat, "fused_update"),
        (_dispatch, "foreach_update"),
    ):
        monkeypatch.setattr(module, name, never)
    numbers, d = numbers_with({term: 0.1}), dense_direction()

    def by_list(w: Tensor, g: Tensor, averages: dict[str, Tensor]) -> None:
        kept = {symbol: [average] for symbol, average in averages.items()}
        update_tensors([w], [g], kept, numbers, [d])

    def by_buffer(w: Tensor, g: Tensor, averages: dict[str, Tensor]) -> None:
        update_flat(w, g, averages, torch.tensor(numbers, dtype=torch.float64), directions=d)

    expected = by_rows([numbers] * N_STEPS, gradients(N_STEPS))
    for step in (by_list, by_buffer):
        torch.testing.assert_close(train(step, symbols_of(numbers)), expected)
    with pytest.raises(RuntimeError, match="a kernel .* that has all terms of the rule"):
        update_tensors([d.clone()], [d], {}, numbers, [d], fused=True)


def test_a_kernel_without_the_line_of_a_term_does_not_claim_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "kernel.cpp"
    lines = _native._SOURCE.read_text().splitlines()
    source.write_text("\n".join(line for line in lines if "X(sign_grad," not in line))
    monkeypatch.setattr(_native, "_SOURCE", source)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _native._library.cache_clear()
    try:
        assert _native.terms(torch.float32) == set(TERMS) - {"sign_grad"}
        numbers, w = numbers_with({"sign_grad": 0.25}, decay=1.0), torch.zeros(3)
        update_tensors([w], [torch.tensor([2.0, -2.0, 0.0])], {}, numbers)
        assert w.tolist() == [-0.25, 0.25, 0.0]
    finally:
        _native._library.cache_clear()
