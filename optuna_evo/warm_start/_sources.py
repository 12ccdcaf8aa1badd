"""From what a spec names in `warm_start` to sources that a sampler learns from.

A source is any Optuna study with one objective. It is named by a *reference*: "NAME" in the
study's own database, "URL#NAME" in another one, "auto" or "URL#auto" for all finished studies of
the same space. References are resolved once, when a study is created, and the list is stored, so
that all workers start from the same studies.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import math
from typing import Any
import warnings

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from optuna.storages import BaseStorage
from optuna.trial import TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from optuna_evo.attributes import IMPORTED
from optuna_evo.attributes import SOURCE_WEIGHTS
from optuna_evo.attributes import SOURCES
from optuna_evo.attributes import SPEC
from optuna_evo.errors import OptunaEvoError
from optuna_evo.errors import SourceWarning
from optuna_evo.errors import StorageError
from optuna_evo.errors import UsageError
from optuna_evo.names import is_secret
from optuna_evo.names import shown_url
from optuna_evo.names import without_secrets
from optuna_evo.samplers import MetaPriorSampler
from optuna_evo.samplers import read_source
from optuna_evo.samplers import Source
from optuna_evo.search import FINISHED
from optuna_evo.search import open_storage
from optuna_evo.search import open_study
from optuna_evo.search import ResilientStorage
from optuna_evo.search import study_names
from optuna_evo.search import unlogged_study
from optuna_evo.spec import StudySpec
from optuna_evo.surrogates import SpaceEncoding
from optuna_evo.warm_start._references import public_url
from optuna_evo.warm_start._references import Reference
from optuna_evo.warm_start._references import with_password_of


__all__ = [
    "write_references",
    "write_weights",
    "read_references",
    "read_weights",
    "load_sources",
    "probe_space",
    "resolve_references",
    "SourceReader",
]

_N_PROBES = 64


class SourceReader:
    """Reads sources, each once; databases that it opens stay open until `close`.

    Args:
        storage: The database of the study that starts from the sources.
        url: Its URL; None: what the storage says it is.

    Passwords in the references given to `reference` are remembered here and nowhere else.
    """

    def __init__(self, storage: BaseStorage, *, url: str | None = None) -> None:
        self._own = storage
        self._own_url: str | None = url or getattr(storage, "url", None)
        self._full_urls: dict[str, str] = {}
        self._storages: dict[str, ResilientStorage] = {}
        self._sources: dict[Reference, Source] = {}

    def reference(self, text: str) -> Reference:
        """Parse a reference; one to the study's own database loses its URL."""
        reference = Reference.parse(text)
        if reference.url is None:
            return reference
        if self._own_url is not None and reference.url == public_url(self._own_url):
            return Reference(reference.study)
        full = text.partition("#")[0]
        parsed = make_url(full)
        if parsed.password or any(map(is_secret, parsed.query)):
            self._full_urls[reference.url] = full
        return reference

    def storage(self, url: str | None) -> BaseStorage:
        """Open the database of a reference, read-only.

        Raises:
            StorageError: If it cannot be opened.
        """
        if url is None:
            return self._own
        if url not in self._storages:
            full = self._full_urls.get(url) or with_password_of(url, self._own_url)
            # what may be gone must not keep a worker waiting
            self._storages[url] = open_storage(full, create=False, read_only=True, patience_s=0)
        return self._storages[url]

    def close(self) -> None:
        """Close the databases of others. What was read stays; reading more opens them anew."""
        for storage in self._storages.values():
            storage.close()
        self._storages.clear()

    def study(self, reference: Reference) -> optuna.Study:
        """Load the study that a reference names.

        Raises:
            UsageError: If there is no such study or it has several objectives.
            StorageError: If its database cannot be read.
        """
        try:
            storage = self.storage(reference.url)
            names = study_names(storage)
            if reference.study not in names:
                place = reference.url or "this database"
                known = ", ".join(sorted(names)[:10]) + (", …" if len(names) > 10 else "")
                raise UsageError(
                    f"There is no study {shown_url(reference.study)!r} in {place} to start from; "
                    "there are: "
                    f"{known or 'none'}."
                )
            study = open_study(reference.study, storage)
        except SQLAlchemyError as error:
            reason = without_secrets(
                str(error).splitlines()[0], self._full_urls.get(reference.url or "", "")
            )
            raise StorageError(f"Cannot read source {reference}: {reason}") from error
        if IMPORTED.is_in(study.user_attrs) and not SPEC.is_in(study.user_attrs):
            raise UsageError(
                f"Study {str(reference)!r} is the rest of an import that was ended: import its "
                "runs again by `optuna_evo study import`."
            )
        if len(study.directions) > 1:
            raise UsageError(
                f"Study {str(reference)!r} has {len(study.directions)} objectives; a study can "
                "start from studies with one only."
            )
        return study

    def read(self, reference: Reference) -> Source:
        """Read a source, once.

        Raises:
            UsageError: If there is no such study, it has several objectives, or no complete
                trial with a finite value.
            StorageError: If its database cannot be read.
        """
        if reference not in self._sources:
            study = self.study(reference)
            if not _finite_trials(study):
                raise UsageError(
                    f"Study {str(reference)!r} has no complete trial with a finite value: there "
                    "is nothing to start from yet."
                )
            # two studies in different databases may have the same name
            source = dataclasses.replace(read_source(study), name=str(reference))
            self._sources[reference] = source
        return self._sources[reference]


def resolve_references(
    spec: StudySpec, parameters: Mapping[str, BaseDistribution] | None, reader: SourceReader
) -> list[Reference]:
    """Return the studies that a spec's `warm_start` names, "auto" replaced by what it finds.

    Every study is read once, so that what cannot be used is said here and nothing is written. A
    study has the same space, for "auto", if it was made from the space part of the same name,
    whatever its options, or if its complete trials have the parameters that the space suggests,
    all of them and no others; it is finished if it has all trials that its spec asks for or, made
    by others, if no trial is running or waiting. The study itself is never among its sources,
    nor are the other studies of a comparison that it is part of ("NAME/tpe/0").

    Args:
        spec: The study that starts from others.
        parameters: What its search space suggests; None: only its trials will tell.
        reader: Reads the sources.

    Raises:
        UsageError: If a study named is not there, is this one, has several objectives, nothing to
            learn from, no parameter in common, or no value that means anything here.
        StorageError: If a database cannot be opened.
    """
    found: dict[Reference, None] = {}  # in order, each once
    for text in spec.warm_start:
        reference = reader.reference(text)
        if reference.is_auto:
            found |= dict.fromkeys(_all_of_same_space(reference.url, spec, parameters, reader))
            continue
        if reference == Reference(spec.name):
            raise UsageError(f"Study {spec.name!r} cannot start from itself; name another one.")
        theirs = set(_parameters(reader.study(reference)))
        source = reader.read(reference)
        if parameters is not None and not theirs & set(parameters):
            raise UsageError(
                f"Study {str(reference)!r} has no parameter in common with this one: it has "
                f"{', '.join(sorted(theirs))}; this one {', '.join(sorted(parameters))}."
            )
        if parameters is not None and not _tells_something(source, parameters):
            raise UsageError(
                f"Study {str(reference)!r} has no value that this one could start from: "
                f"{_kinds(source, parameters)}. Rename what means something else, or leave it out."
            )
        found[reference] = None
    return list(found)


def load_sources(references: Iterable[Reference], reader: SourceReader) -> list[Source]:
    """Read the sources that can be read; warn, one line each, of those that cannot."""
    sources = []
    for reference in references:
        try:
            sources.append(reader.read(reference))
        except OptunaEvoError as error:
            warnings.warn(
                f"Going on without source {reference}: {error}", SourceWarning, stacklevel=2
            )
    return sources


def write_references(study: optuna.Study, references: Sequence[Reference]) -> None:
    """Write on a study what it starts from."""
    study.set_user_attr(SOURCES.key, [str(reference) for reference in references])


def read_references(study: optuna.Study) -> list[Reference]:
    """Return what a study starts from; nothing for a study without a warm start."""
    return [Reference.parse(text) for text in SOURCES.read(study.user_attrs, [])]


def write_weights(study: optuna.Study, sampler: MetaPriorSampler) -> None:
    """Write on a study how far each source is believed by now."""
    if sampler.sources:
        study.set_user_attr(SOURCE_WEIGHTS.key, sampler.source_weights(study))


def read_weights(study: optuna.Study) -> dict[str, float]:
    """Return the weights of the sources as last written, in [0, 1] by reference."""
    return dict(SOURCE_WEIGHTS.read(study.user_attrs, {}))


def probe_space(space: Callable[[optuna.Trial], Any]) -> dict[str, BaseDistribution]:
    """Return the parameters that a define-by-run space suggests in 64 random draws."""
    study = unlogged_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found: dict[str, BaseDistribution] = {}
    for _ in range(_N_PROBES):
        trial = study.ask()
        space(trial)
        found |= trial.distributions
    return found


def _all_of_same_space(
    url: str | None,
    spec: StudySpec,
    parameters: Mapping[str, BaseDistribution] | None,
    reader: SourceReader,
) -> list[Reference]:
    references = []
    for name in study_names(reader.storage(url)):
        if url is None and _is_sibling(name, spec):
            continue
        reference = Reference(name, url)
        # a damaged study, or one of several objectives, is no reason to refuse the others
        with contextlib.suppress(UsageError, StorageError, LookupError, TypeError, ValueError):
            if _is_of_same_space(reader.study(reference), spec, parameters) and (
                parameters is None or _tells_something(reader.read(reference), parameters)
            ):
                references.append(reference)
    return references


def _is_of_same_space(
    study: optuna.Study, spec: StudySpec, parameters: Mapping[str, BaseDistribution] | None
) -> bool:
    theirs = SPEC.read(study.user_attrs)
    if not _is_finished(study, theirs) or not _finite_trials(study):
        return False
    return bool(theirs and theirs["space"]["name"] == spec.space.name) or (
        parameters is not None and set(_parameters(study)) == set(parameters)
    )


def _tells_something(source: Source, parameters: Mapping[str, BaseDistribution]) -> bool:
    """Tell whether a value of a source has a meaning in a space."""
    encoding = SpaceEncoding(dict(parameters))
    return not bool(np.isnan(encoding.units(source.configurations)).all())


def _kinds(source: Source, parameters: Mapping[str, BaseDistribution]) -> str:
    """Say what the parameters in common are there and here."""
    shared = sorted(source.distributions.keys() & parameters.keys())
    pairs = [(name, source.distributions[name], parameters[name]) for name in shared]
    return "; ".join(f"{n!r} is {_shown(a)} there and {_shown(b)} here" for n, a, b in pairs)


def _shown(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        choices = ", ".join(map(repr, distribution.choices[:5]))
        return f"one of {choices}{', …' if len(distribution.choices) > 5 else ''}"
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    kind = "a float" if isinstance(distribution, FloatDistribution) else "an int"
    return f"{kind} in [{distribution.low:g}, {distribution.high:g}]"


def _is_sibling(name: str, spec: StudySpec) -> bool:
    """Tell whether a study is this one or compared with it."""
    compared = spec.name.rpartition("/")[0].rpartition("/")[0]
    return name == spec.name or (compared != "" and name.startswith(f"{compared}/"))


def _is_finished(study: optuna.Study, spec: dict[str, Any] | None) -> bool:
    if spec:
        n_finished = len(study.get_trials(deepcopy=False, states=FINISHED))
        return n_finished >= int(spec["n_trials"])
    return not study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING))


def _finite_trials(study: optuna.Study) -> Sequence[optuna.trial.FrozenTrial]:
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [t for t in trials if t.value is not None and math.isfinite(t.value)]


def _parameters(study: optuna.Study) -> dict[str, None]:
    return {name: None for trial in _finite_trials(study) for name in trial.params}
