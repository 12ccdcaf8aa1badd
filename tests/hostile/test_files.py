"""Files are whole or not there, stay where they belong, and are nobody else's to write."""

import os
from pathlib import Path
import stat
import subprocess
import sys

import optuna
import pytest

from optuna_evo.errors import StorageError
from optuna_evo.files import is_only_mine
from optuna_evo.files import open_whole
from optuna_evo.files import own_folder
from optuna_evo.files import PART
from optuna_evo.files import remove_parts
from optuna_evo.files import whole_folder
from optuna_evo.files import write_text
from optuna_evo.search import AtomicFileSystemStore
from optuna_evo.search import open_checkpoints
from tests.hostile.test_names import call
from tests.hostile.test_names import folder as folder  # a fixture
from tests.hostile.test_names import NAMES


@pytest.fixture
def everyone(request: pytest.FixtureRequest) -> None:
    """Let the umask take nothing."""
    before = os.umask(0)
    request.addfinalizer(lambda: os.umask(before))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_that_fails_half_way_is_the_old_one_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for before in (None, "old"):
        with pytest.raises(RuntimeError), open_whole(path) as file:
            file.write(b"new")
            raise RuntimeError
        assert (path.read_text() if before else None) == before
        assert len(list(tmp_path.iterdir())) == (1 if before else 0)
        path.write_text("old")
    write_text(path, "new ü")
    assert path.read_text(encoding="utf-8") == "new ü" and len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    code = """
import resource, signal, sys
from optuna_evo.files import write_text
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_text(sys.argv[1], "x" * 5000)
except OSError as error:
    print(type(error).__name__)
"""
    path = tmp_path / "a.txt"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert done.stdout == "OSError\n", done.stderr
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_nobody_else_can_write_what_is_written(tmp_path: Path, everyone: None) -> None:
    write_text(tmp_path / "a", "x")
    write_text(tmp_path / "private", "x", private=True)
    own_folder(tmp_path / "cache")
    assert mode(tmp_path / "a") == 0o664 and mode(tmp_path / "private") == 0o600
    assert mode(tmp_path / "cache") == 0o700
    (tmp_path / "b").touch()
    (tmp_path / "b").chmod(0o640)
    write_text(tmp_path / "b", "x")
    assert mode(tmp_path / "b") == 0o640  # as its owner has set it
    (tmp_path / "b").chmod(0o666)
    assert not is_only_mine(tmp_path / "b") and is_only_mine(tmp_path / "a")


def test_what_a_study_leaves_follows_the_umask_and_is_not_for_all_to_write(
    folder: Path, capsys: pytest.CaptureFixture[str], everyone: None
) -> None:
    (folder / "l.toml").write_text(
        'tasks = ["two_moons"]\nn_trials = 3\nobjective.name = "segment"\n'
        'sampler = { name = "recurrence", population_size = 3 }\ntrainer.steps = 2\n'
        'space = { name = "language_model", batch_size = false, dropout = false }\n'
    )
    assert call(capsys, "study", "run", "l.toml", "--device", "cpu")[0] == 0
    for command in (
        ("report", "l"),
        ("export", "l", "--out", "best.json"),
        ("export", "l", "--weights", "model"),
        ("export", "l", "--schedule", "schedule.json"),
    ):
        assert call(capsys, "study", *command)[0] == 0
    files = {path: mode(path) for path in folder.rglob("*") if path.name != "l.toml"}
    files = {path: bits for path, bits in files.items() if path.name != "s.toml"}
    assert len(files) > 8
    writable = [str(p) for p, bits in files.items() if p.is_file() and bits & stat.S_IWOTH]
    assert writable == []
    assert not list(folder.rglob(f"*{PART}"))


def test_a_link_keeps_being_one_and_a_device_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there").read_text() == "new"
    write_text("/dev/null", "new")
    assert Path("/dev/null").is_char_device()


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "a" / "model") as part:
        (part / "x").write_text("x")
        raise RuntimeError
    assert list((tmp_path / "a").iterdir()) == []
    (tmp_path / "model").mkdir()
    with whole_folder(tmp_path / "model") as part:
        (part / "x").write_text("x")
    assert [p.name for p in tmp_path.iterdir() if p.name != "a"] == ["model"]
    assert (tmp_path / "model" / "x").read_text() == "x"


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".1.pt.abc.part", ".1.pt.def.part", ".11.pt.abc.part", "1.pt", ".1.pt.x"):
        (tmp_path / name).touch()
    remove_parts(tmp_path / "1.pt")
    assert {p.name for p in tmp_path.iterdir()} == {".11.pt.abc.part", "1.pt", ".1.pt.x"}


@pytest.mark.parametrize("name", ["../out", "/etc/out", "a/../../out", "..", "a/../../../x/y"])
def test_a_name_of_a_checkpoint_cannot_leave_its_folder(name: str, tmp_path: Path) -> None:
    import io

    inside = tmp_path / "store"
    inside.mkdir()
    store = AtomicFileSystemStore(inside)
    for use in (
        lambda: store.write(name, io.BytesIO(b"x")),
        lambda: store.open_reader(name),
        lambda: store.remove(name),
        lambda: store.remove_folder(name),
    ):
        with pytest.raises((ValueError, optuna.artifacts.exceptions.ArtifactNotFound)):
            use()
    assert list(tmp_path.iterdir()) == [inside] and list(inside.iterdir()) == []


@pytest.mark.parametrize("name", [*NAMES, "..", "/", "/etc/passwd", "a" * 512])
def test_the_checkpoints_of_a_study_of_any_name_lie_in_the_folder(
    name: str, tmp_path: Path
) -> None:
    storage = optuna.storages.InMemoryStorage()
    try:
        open_checkpoints(name, storage, str(tmp_path / "store"))
    except StorageError as error:
        assert "\n" not in str(error)
    (made,) = (tmp_path / "store").iterdir()
    assert made.parent == tmp_path / "store" and list(tmp_path.iterdir()) == [tmp_path / "store"]


@pytest.mark.parametrize("command", ["report", "export"])
@pytest.mark.parametrize("place", ["no/such/a.png", "s.toml/a.png", "/proc/a.png", "n" * 300])
def test_a_place_that_cannot_be_written_is_refused_in_one_line(
    command: str, place: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(capsys, "study", "run", "s.toml", "--device", "cpu")
    code, _, err = call(capsys, "study", command, "s", "--out", place)
    assert code != 0 and err.count("\n") == 1 and PART not in err
    assert "--debug" not in err and place[:20] in err
