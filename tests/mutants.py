"""A mutation check: change the code in small ways and see whether the tests notice.

    make mutants                                                    # a sample of each package
    .venv/bin/python -m tests.mutants rules evaluation --sample 60  # more of two

Run by hand: first all tests run once to learn which of them reach which function, then a mutant
takes seconds to a minute. mutmut makes the mutants (settings in pyproject.toml) in the folder
mutants/ and keeps the verdicts there. It leaves out what it cannot switch at run time: constants
of modules, properties and other decorated functions. A survivor gets a test or a reason.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import json
from pathlib import Path
import subprocess
import sys

import click
from numpy.random import default_rng


PACKAGES = ("rules", "optimizers", "samplers", "search", "evaluation")
FOLDER = Path("mutants")
SURVIVED, UNREACHED = 0, (5, 33, None)  # exit codes of pytest and mutmut


@click.command()
@click.argument("packages", nargs=-1)
@click.option("--sample", default=20, show_default=True, help="Mutants of each package.")
@click.option("--seed", default=0, show_default=True, help="Of the choice.")
@click.option("--workers", default=2, show_default=True)
def main(packages: Sequence[str], sample: int, seed: int, workers: int) -> None:
    """Check a random sample of the mutants of PACKAGES and print who survived."""
    _mutmut("run", "none", check=False, stderr=subprocess.DEVNULL)  # makes them, then finds none
    rng, chosen = default_rng(seed), {}
    for package in packages or PACKAGES:
        names = sorted(read_verdicts(package))
        rows = rng.permutation(len(names))[:sample]
        chosen[package] = [names[row] for row in sorted(rows)]
    every = [name for names in chosen.values() for name in names]
    _mutmut("run", "--max-children", str(workers), *every)
    for package, names in chosen.items():
        report(package, {name: read_verdicts(package)[name] for name in names})


def read_verdicts(package: str) -> dict[str, int | None]:
    """Return the exit code of the tests for each mutant of a package."""
    verdicts: dict[str, int | None] = {}
    for file in sorted((FOLDER / "optuna_evo" / package).rglob("*.meta")):
        verdicts |= json.loads(file.read_text(encoding="utf-8"))["exit_code_by_key"]
    return verdicts


def report(package: str, verdicts: Mapping[str, int | None]) -> None:
    """Print how many mutants were killed, and the others as differences."""
    survived = [name for name, code in verdicts.items() if code == SURVIVED]
    unreached = [name for name, code in verdicts.items() if code in UNREACHED]
    n_tested = len(verdicts) - len(unreached)
    print(f"\n{package}: {n_tested - len(survived)} of {n_tested} killed", flush=True)
    for name in survived:
        _mutmut("show", name)
    if unreached:
        print(f"{package}: reached by no test, or run at import:", *unreached, sep="\n  ")


def _mutmut(*arguments: str, check: bool = True, stderr: int | None = None) -> None:
    command = [sys.executable, "-m", "mutmut", *arguments]
    subprocess.run(command, check=check, stderr=stderr)


if __name__ == "__main__":
    main()
