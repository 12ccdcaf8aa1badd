"""Names of source studies."""

from pathlib import Path

import pytest

from optuna_evo.errors import UsageError
from optuna_evo.warm_start import Reference
from optuna_evo.warm_start import with_password_of


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("old", "old"),
        ("a/b c#1", "a/b c#1"),
        ("sqlite:////data/old.db#a#b", "sqlite:////data/old.db#a#b"),
        ("postgresql://me:secret@host:5433/db#old", "postgresql://me@host:5433/db#old"),
        ("mysql+pymysql://me@host/db?password=secret#old", "mysql+pymysql://me@host/db#old"),
        (
            "postgresql://postgres:@/db?host=/tmp/x#auto",
            "postgresql://postgres@/db?host=%2Ftmp%2Fx#auto",
        ),
    ],
)
def test_a_reference_is_shown_without_anything_secret_and_reads_back(
    text: str, shown: str
) -> None:
    reference = Reference.parse(text)
    assert str(reference) == shown and "secret" not in repr(reference)
    assert Reference.parse(shown) == reference
    assert reference.is_auto == text.endswith("auto")


def test_a_path_is_that_of_the_folder_it_was_written_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(Reference.parse("sqlite:///old.db#a")) == f"sqlite:///{tmp_path / 'old.db'}#a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'must be "NAME", "URL#NAME" or "auto", got ""'),
        ("postgresql://me:secret@host/db", "me@host/db names a database and no study in it"),
        ("://x:secret@y#a", "what stands before the # is no database URL"),
    ],
)
def test_what_names_no_study_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Reference.parse(text)
    assert "secret" not in str(caught.value)


def test_a_password_is_shared_within_one_server_and_user_only() -> None:
    own = "postgresql://me:secret@host/db"
    assert with_password_of("postgresql://me@host/b", own) == "postgresql://me:secret@host/b"
    for other in ("postgresql://you@host/b", "postgresql://me@elsewhere/b", "sqlite:////a.db"):
        assert with_password_of(other, own) == other
