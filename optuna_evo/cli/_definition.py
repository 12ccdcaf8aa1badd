"""What a command line says of a study that it makes or goes on with."""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from dataclasses import dataclass
import functools
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

import click

from optuna_evo.cli._completion import PRUNERS
from optuna_evo.cli._completion import SAMPLERS
from optuna_evo.cli._options import SET
from optuna_evo.cli._options import WARM_START
from optuna_evo.names import quoted


if TYPE_CHECKING:
    from optuna_evo.spec import StudySpec

__all__ = ["Definition", "definition_options", "is_function_of_file", "with_sources"]

# What a study of a plain function has where the command line does not say; the sampler is the one
# that led the comparison on recorded tables (README), the pruner is Optuna's own default.
_DEFAULTS = {
    "direction": "minimize",
    "sampler": {"name": "hybrid"},
    "pruner": {"name": "median"},
}


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What options say of a study; what they do not say is None or empty.

    Args:
        overrides: "a.b=c" each.
        sources: Studies to start from.
        name: Name of the study.
        directions: What options `--direction` say.
        sampler: Name of a sampler.
        pruner: Name of a pruner.
        seed: Seed of the study.
    """

    overrides: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    name: str | None = None
    directions: tuple[str, ...] = ()
    sampler: str | None = None
    pruner: str | None = None
    seed: int | None = None

    def changes(self) -> dict[str, Any]:
        """Return the values that the options put in the place of those of a spec."""
        if len(self.directions) > 1:
            raise click.UsageError(
                f"--direction is given {len(self.directions)} times: a study here has one "
                "direction. Return one number, such as a weighted sum."
            )
        given = {
            "name": self.name,
            "direction": next(iter(self.directions), None),
            "sampler": self.sampler and {"name": self.sampler},
            "pruner": self.pruner and {"name": self.pruner},
            "seed": self.seed,
        }
        return {key: value for key, value in given.items() if value is not None}

    def refuse_for_stored(self, name: str) -> None:
        """Raise if an option is given that a stored study cannot take."""
        if self.sources:
            raise click.UsageError(
                "--warm-start goes with a SPEC file or a FILE.py:FUNCTION; a stored study keeps "
                f"its sources, see `optuna_evo study sources {quoted(name)}`."
            )
        options = [f"--{key}" for key in self.changes()] + ["--set"] * bool(self.overrides)
        if options:
            raise click.UsageError(
                f"{options[0]} goes with a SPEC file or a FILE.py:FUNCTION; a stored study keeps "
                "its spec."
            )

    def spec_of_file(self, path: Path) -> "StudySpec":
        """Return the spec in a TOML file, as the options change it."""
        from optuna_evo.spec import load_spec

        spec = load_spec(path, overrides=self.overrides, changes=self.changes())
        return with_sources(spec, self.sources)

    def name_for(self, function: str) -> str:
        """Return what the study of a FILE.py:FUNCTION is called."""
        from optuna_evo.plugins import split_path

        file, attribute = split_path(function)
        return self.name or f"{Path(file).stem}/{attribute}"

    def spec_of_function(
        self, function: str, known: "StudySpec | None", n_trials: int | None
    ) -> "StudySpec":
        """Return the spec of a study of a function; what is not said stays as it is stored.

        Args:
            function: "FILE.py:FUNCTION".
            known: The spec of the stored study of this name; None if there is none.
            n_trials: Trials of the study; None: as stored, 100 for a new one.
        """
        from optuna_evo.spec import changed_spec

        if known is not None and known.objective.name != function:
            known = None  # the error of `create_study` says what differs
        table: dict[str, Any]
        table = known.to_dict() if known else {**_DEFAULTS, "objective": {"name": function}}
        for key in ("objective", "space"):  # named by the command line, not by the database
            if known and table[key]["name"] == function:
                table[key]["name"] = function
        changes = {"name": self.name_for(function), **self.changes()}
        if n_trials is not None:
            changes["n_trials"] = n_trials
        return with_sources(changed_spec(table, changes, self.overrides), self.sources)


def is_function_of_file(text: str) -> bool:
    """Tell whether a text is "FILE.py:FUNCTION", or FILE.py without a function."""
    file, _, attribute = text.rpartition(":")
    return file.endswith(".py") or attribute.endswith(".py")


def with_sources(spec: "StudySpec", sources: Sequence[str]) -> "StudySpec":
    """Add what --warm-start names to a spec, each once."""
    return dataclasses.replace(spec, warm_start=(*dict.fromkeys((*spec.warm_start, *sources)),))


def definition_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a `Definition`, which the command gets as `definition`."""

    @functools.wraps(command)  # with the options that it has already
    def with_definition(**options: Any) -> Any:
        names = Definition.__dataclass_fields__
        said = {name: options.pop(name) for name in names}
        return command(definition=Definition(**said), **options)

    for option in (
        WARM_START,
        SET,
        click.option(
            "--pruner", metavar="NAME", help=f"{', '.join(PRUNERS)}, or module:attribute."
        ),
        click.option(
            "--sampler", metavar="NAME", help=f"{', '.join(SAMPLERS)}, or module:attribute."
        ),
        click.option("--seed", type=click.IntRange(min=0), help="Seed of sampler and trials."),
        click.option(
            "--direction",
            "directions",
            type=click.Choice(["minimize", "maximize"]),
            multiple=True,
            help="What to do with the value that a function returns. [default: minimize]",
        ),
        click.option(
            "--name", help="Name of the study. [default: that of the file, FILE/FUNCTION]"
        ),
    ):
        with_definition = option(with_definition)
    return with_definition
