"""The populations of the studies that a sampler serves: a cache, never a state."""

import threading
from weakref import WeakKeyDictionary

from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.study import StudyDirection

from optuna_evo.attributes import GA_STUDY
from optuna_evo.samplers._ga._population import Population
from optuna_evo.samplers._ga._ways import Way


__all__ = ["PopulationCache"]


class PopulationCache:
    """One population a study; copies and pickles start without any.

    `lock` is held by whoever works with a population: threads share a sampler.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._by_storage: WeakKeyDictionary[BaseStorage, dict[int, Population]] = (
            WeakKeyDictionary()
        )

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return PopulationCache, ()

    def known(self, study: Study) -> Population | None:
        """Return the population of a study as it was last seen, without reading the storage."""
        return self._by_storage.get(study._storage, {}).get(study._study_id)

    def up_to_date(self, study: Study, ways: tuple[Way, Way]) -> Population:
        """Return the population of a study as its trials are now."""
        storage, study_id = study._storage, study._study_id
        # Hyperband shows a sampler the trials of one bracket only; a population has them all.
        trials = storage.get_all_trials(study_id, deepcopy=False)
        study._thread_local.cached_all_trials = trials  # until the next ask or tell, as Optuna's
        populations = self._by_storage.setdefault(storage, {})
        population = populations.get(study_id)
        if population is None or population.ways != ways or not population.is_of(trials):
            population = populations[study_id] = Population(
                study=_origin(study),
                maximize=study.direction == StudyDirection.MAXIMIZE,
                ways=ways,
            )
        population.update(trials, storage.get_trial)
        return population


def _origin(study: Study) -> str:
    """Return the name under which the slots of a study are assigned.

    A copy of a study goes on with the assignments of the original, whatever its name. Trials that
    were added from another study keep foreign ones, which mean nothing here.
    """
    storage, study_id = study._storage, study._study_id
    origin = GA_STUDY.read(storage.get_study_system_attrs(study_id))
    if origin is None:
        origin = study.study_name
        storage.set_study_system_attr(study_id, GA_STUDY.key, origin)
    return str(origin)
