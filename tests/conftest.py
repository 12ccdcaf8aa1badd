"""What all tests share: real data where there is some, skips where there is none, quiet Optuna."""

from collections.abc import Iterator
import os
from pathlib import Path

import pytest

from tests.servers import mariadbd


# One thread each: two on busy cores wait for each other, and sums change with their number.
os.environ.setdefault("OMP_NUM_THREADS", "1")

_NAMED = os.environ.get("OPTUNA_EVO_DATA")  # before any test changes it
_BESIDE_THE_REPOSITORY = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, with the reason."""
    for item in items:
        if item.get_closest_marker("data") and _data_folder() is None:
            item.add_marker(pytest.mark.skip(reason="no OPTUNA_EVO_DATA, no ../shared/data"))
        if item.get_closest_marker("mysql") and mariadbd() is None:
            item.add_marker(pytest.mark.skip(reason="no MariaDB: apt-get install mariadb-server"))
        if item.get_closest_marker("gpu") and not _has_gpu():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture
def data_folder() -> Path:
    """Return the folder with the real data files (see `--data-dir`)."""
    folder = _data_folder()
    if folder is None:
        pytest.skip("no OPTUNA_EVO_DATA, no ../shared/data")
    return folder


@pytest.fixture(autouse=True, scope="session")
def _quiet_optuna() -> Iterator[None]:
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


@pytest.fixture(autouse=True, scope="session")
def _state_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what the command line remembers of a user out of his home."""
    before = {key: os.environ.get(key) for key in ("XDG_STATE_HOME", "XDG_CONFIG_HOME")}
    folder = tmp_path_factory.mktemp("home")
    os.environ.update({key: str(folder / key) for key in before})
    yield
    for key, value in before.items():
        os.environ.pop(key, None)
        os.environ.update({} if value is None else {key: value})


def _data_folder() -> Path | None:
    folder = Path(_NAMED) if _NAMED else _BESIDE_THE_REPOSITORY
    return folder if folder.is_dir() else None


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
