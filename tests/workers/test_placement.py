"""Which cores and GPUs each worker gets."""

import pytest

from optuna_evo.errors import UsageError
from optuna_evo.workers import place


def gpus(n_workers: int, names: str, per_worker: float | None = None) -> list[str]:
    placed = place(n_workers, n_cores=8, gpus=names.split(), gpus_per_worker=per_worker)
    return [",".join(p.gpus) if p.gpus is not None else "as before" for p in placed]


def test_cores_are_divided_and_every_worker_has_one() -> None:
    assert [p.threads for p in place(3, n_cores=8, gpus=())] == [2, 2, 2]
    assert [p.threads for p in place(16, n_cores=8, gpus=())] == [1] * 16


def test_gpus_are_handed_round() -> None:
    assert gpus(2, "0 1") == ["0", "1"]
    assert gpus(5, "0 1") == ["0", "1", "0", "1", "0"]
    assert gpus(2, "4 5 6 7") == ["4,6", "5,7"]
    assert gpus(2, "") == ["as before", "as before"]
    assert gpus(2, "MIG-a MIG-b", 1) == ["MIG-a", "MIG-b"]


def test_several_workers_share_a_gpu_where_they_need_a_part_of_it() -> None:
    assert gpus(4, "0", 0.25) == ["0"] * 4
    assert gpus(4, "0 1", 0.5) == ["0", "1", "0", "1"]
    assert gpus(10, "0", 0.1) == ["0"] * 10
    assert gpus(2, "0 1 2 3", 2) == ["0,1", "2,3"]
    assert gpus(3, "0", 0) == ["", "", ""]


@pytest.mark.parametrize(
    ("n_workers", "names", "per_worker", "said"),
    [
        (5, "0", 0.25, "at most --workers 4"),
        (2, "0 1 2", 2, "at most --workers 1"),
        (2, "", 0.5, "there is none here"),
        (1, "0 1 2", 1.5, "a whole number; got 1.5"),
        (1, "0", float("nan"), "got nan"),
    ],
)
def test_what_does_not_fit_is_refused(
    n_workers: int, names: str, per_worker: float, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        gpus(n_workers, names, per_worker)


def test_variables_say_so_and_threads_that_a_user_has_set_stay() -> None:
    (first,) = place(1, n_cores=4, gpus=("0",))
    assert first.environment({}) == {
        "OMP_NUM_THREADS": "4",
        "MKL_NUM_THREADS": "4",
        "OPENBLAS_NUM_THREADS": "4",
        "CUDA_VISIBLE_DEVICES": "0",
    }
    assert "OMP_NUM_THREADS" not in first.environment({"OMP_NUM_THREADS": "2"})
