"""Who goes on from whom: members, parents, retries, workers, pruned, enqueued and added trials."""

from collections import Counter
from pathlib import Path
import subprocess
import sys

import optuna
from optuna.storages import RDBStorage
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import TrialState
import pytest

from optuna_evo.attributes import MEMBER
from optuna_evo.attributes import PARENT
from optuna_evo.attributes import SEGMENT
from optuna_evo.attributes import TEMPERATURE
from optuna_evo.samplers import RecurrenceSampler
from optuna_evo.samplers import Segment
from optuna_evo.samplers import segment_of


SIZE = 4


def objective(trial: optuna.Trial) -> float:
    kind = trial.suggest_categorical("kind", ["a", "b"])
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    depth = trial.suggest_int("depth", 2, 16, step=2) if kind == "a" else 0
    return lr + 0.01 * depth


def make_study(storage: str | None = None, **options: object) -> optuna.Study:
    return optuna.create_study(
        study_name="lineage",
        storage=storage,
        sampler=RecurrenceSampler(**{"population_size": SIZE, "seed": 3, **options}),
        load_if_exists=True,
    )


def run(study: optuna.Study, n_trials: int) -> optuna.Study:
    study.optimize(objective, n_trials=n_trials)
    return study


def segments(study: optuna.Study) -> list[Segment]:
    return [s for trial in study.get_trials() if (s := segment_of(trial)) is not None]


def slots(study: optuna.Study) -> list[tuple[int, int]]:
    """Return (member, turn) of the trials that did not fail."""
    attrs = [t.system_attrs for t in study.get_trials() if t.state != TrialState.FAIL]
    taken = [a["RecurrenceSampler:segment"] for a in attrs if "RecurrenceSampler:segment" in a]
    return [(slot["member"], slot["turn"]) for slot in taken]


def lose(study: optuna.Study, number: int) -> None:
    """Fail a trial and queue its copy, as a storage with heartbeat does."""
    study.tell(number, state=TrialState.FAIL)
    RetryHeartbeatStaleTrialCallback()(study, study.get_trials()[number])


def step(study: optuna.Study, value: float | None, state: TrialState | None = None) -> Segment:
    """Ask for a segment and tell its value."""
    trial = study.ask()
    objective(trial)
    finished = study.tell(trial, value, state=state)
    segment = segment_of(finished)
    assert segment is not None
    return segment


def test_members_take_turns_and_first_segments_start_afresh() -> None:
    study = run(make_study(rivalry="linear"), 3 * SIZE)
    assert [s.member for s in segments(study)] == [*range(SIZE)] * 3
    assert [s.parent is None for s in segments(study)] == [True] * SIZE + [False] * 2 * SIZE


def test_a_segment_is_one_further_than_its_parent_and_cooler() -> None:
    study = run(make_study(temperature=2.0, cooling=0.5), 10 * SIZE)
    trials = study.get_trials()
    for segment in segments(study):
        assert segment.temperature == 2.0 * 0.5**segment.index
        if segment.parent is not None:
            parent = segment_of(trials[segment.parent])
            assert segment.index == parent.index + 1
            assert segment.exploited == (segment.member != parent.member)


def test_the_segment_is_shown_in_user_attributes() -> None:
    trial = run(make_study(), SIZE + 1).get_trials()[-1]
    segment = segment_of(trial)
    expected = segment.member, segment.index, segment.parent, segment.temperature
    shown = [a.read(trial.user_attrs) for a in (MEMBER, SEGMENT, PARENT, TEMPERATURE)]
    assert tuple(shown) == expected


def test_the_worst_member_goes_on_from_the_best() -> None:
    study = make_study(rivalry="linear")
    for value in (3.0, 1.0, 2.0, 4.0):
        step(study, value)
    parents = [step(study, value).parent for value in (3.0, 1.0, 2.0, 4.0)]
    # the best of all, member 1, has gone on in the meantime: its latest segment is trial 5
    assert parents == [0, 1, 2, 5]


def test_a_member_in_the_middle_goes_its_own_way_where_half_exploit() -> None:
    study = make_study(population_size=3, exploit_quantile=0.5, n_rival_segments=None)
    for value in (1.0, 3.0, 2.0):
        step(study, value)
    parents = [step(study, value).parent for value in (1.0, 3.0, 2.0)]
    assert parents[0] == 0 and parents[1] != 1 and parents[2] == 2


def test_the_better_a_member_the_more_it_keeps() -> None:
    study = make_study(exploit_quantile=0.0, retention=0.25)
    for value in (3.0, 1.0, 2.0, 4.0):
        step(study, value)
    trials = [study.ask() for _ in range(SIZE)]
    rhos = [segment_of(study.get_trials()[trial.number]).rho for trial in trials]
    assert rhos[1] == 1.0 > rhos[2] > rhos[0] > rhos[3] == 0.0625


def test_maximization_turns_the_ranking_round() -> None:
    study = optuna.create_study(
        direction="maximize",
        sampler=RecurrenceSampler(population_size=3, rivalry="linear", seed=0),
    )
    for value in (1.0, 3.0, 2.0):
        step(study, value)
    assert step(study, 1.0).parent == 1


@pytest.mark.parametrize("fate", ["pruned", "infinite", "diverged"])
def test_a_segment_without_weights_is_nobodys_parent(fate: str) -> None:
    study = make_study(exploit_quantile=0.0)
    for k in range(1, SIZE):
        step(study, float(k))
    if fate == "pruned":
        step(study, None, TrialState.PRUNED)
    elif fate == "infinite":
        step(study, float("inf"))
    else:
        trial = study.ask()
        trial.set_user_attr("diverged", True)
        study.tell(trial, 0.0)
    trials = [study.ask() for _ in range(SIZE)]
    again = segment_of(study.get_trials()[trials[-1].number])
    assert (again.member, again.parent, again.exploited) == (SIZE - 1, 0, True)


def test_a_population_without_any_weights_starts_afresh() -> None:
    study = make_study()
    for _ in range(SIZE + 1):
        step(study, None, TrialState.PRUNED)
    first, last = study.get_trials()[0], study.get_trials()[-1]
    assert segment_of(last).parent is None
    assert last.params != first.params


def test_a_failed_segment_is_done_again_with_other_noise() -> None:
    study = run(make_study(), SIZE)
    failed = study.ask()
    objective(failed)
    study.tell(failed, state=TrialState.FAIL)
    run(study, SIZE)
    first, again = study.get_trials()[SIZE], study.get_trials()[-1]
    assert segment_of(again) == segment_of(first)
    assert again.params != first.params


@pytest.mark.parametrize("n_suggested", [0, 1, 99])
def test_the_copy_of_a_lost_trial_is_the_same_segment(n_suggested: int) -> None:
    study = run(make_study(), SIZE + 1)
    lost = study.ask()
    if n_suggested == 1:
        lost.suggest_categorical("kind", ["a", "b"])
    elif n_suggested:
        objective(lost)
    run(study, 2)
    lose(study, lost.number)
    run(study, 1)
    expected = run(make_study(), SIZE + 2).get_trials()[-1]
    copy = study.get_trials()[-1]
    assert (copy.params, segment_of(copy)) == (expected.params, segment_of(expected))


def test_a_copy_that_comes_late_takes_another_turn() -> None:
    study = run(make_study(), SIZE)
    lost = study.ask()
    study.tell(lost, state=TrialState.FAIL)
    run(study, SIZE)  # the last of these does the lost segment
    RetryHeartbeatStaleTrialCallback()(study, study.get_trials()[lost.number])
    run(study, 1)
    assert max(Counter(slots(study)).values()) == 1


def test_a_run_stopped_after_any_trial_goes_on_as_if_never_stopped(tmp_path: Path) -> None:
    expected = [trial.params for trial in run(make_study(), 2 * SIZE).get_trials()]
    storage = f"sqlite:///{tmp_path}/stopped.db"
    for _ in range(2 * SIZE):
        run(make_study(storage), 1)
    assert [trial.params for trial in make_study(storage).get_trials()] == expected


def test_threads_take_every_turn_once() -> None:
    study = make_study()
    study.optimize(objective, n_trials=6 * SIZE, n_jobs=4)
    assert max(Counter(slots(study)).values()) == 1


def test_processes_on_one_database_take_every_turn_once(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/workers.db"
    RDBStorage(storage)
    make_study(storage)
    code = (
        "import optuna\n"
        "from tests.samplers.test_recurrence_lineage import make_study, run\n"
        "optuna.logging.set_verbosity(optuna.logging.ERROR)\n"
        f"run(make_study({storage!r}), {SIZE})\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    study = make_study(storage)
    turns = Counter(member for member, _ in slots(study))
    assert sorted(slots(study)) == [(m, turn) for m in range(SIZE) for turn in range(turns[m])]
    assert sum(turns.values()) == 3 * SIZE


def test_more_asks_than_members_are_served() -> None:
    study = run(make_study(), SIZE)
    for _ in range(3 * SIZE):
        study.ask()
    assert max(Counter(slots(study)).values()) == 1
    assert {s.index for s in segments(study)} == {0, 1}


def test_enqueued_parameters_take_a_slot_and_the_recurrence_gives_the_others() -> None:
    study = run(make_study(), SIZE)
    study.enqueue_trial({"lr": 0.05})
    run(study, 1)
    expected = run(make_study(), SIZE + 1).get_trials()[-1]
    assert study.get_trials()[-1].params == expected.params | {"lr": 0.05}
    assert segment_of(study.get_trials()[-1]) == segment_of(expected)


def test_added_trials_are_no_parents_but_where_first_segments_start() -> None:
    study = make_study(noise=0.01, anneal=["lr"], cooling=0.5)
    distributions = {"lr": optuna.distributions.FloatDistribution(1e-5, 1e-1, log=True)}
    for value, lr in ((2.0, 1e-4), (1.0, 1e-2)):
        study.add_trial(
            optuna.create_trial(params={"lr": lr}, distributions=distributions, value=value)
        )
    run(study, 3 * SIZE)
    first, second = study.get_trials()[2:4]
    assert (segment_of(first).parent, segment_of(second).parent) == (None, None)
    assert first.params["lr"] == pytest.approx(1e-2, rel=0.3)
    assert second.params["lr"] == pytest.approx(1e-4, rel=0.3)
    assert {s.parent for s in segments(study)} & {0, 1} == set()


def test_a_copied_study_goes_on_like_the_original() -> None:
    study = run(make_study(), SIZE + 2)
    optuna.copy_study(
        from_study_name="lineage",
        from_storage=study._storage,
        to_storage=study._storage,
        to_study_name="copy",
    )
    copied = optuna.load_study(
        study_name="copy", storage=study._storage, sampler=make_study().sampler
    )
    run(copied, SIZE)
    run(study, SIZE)
    assert [t.params for t in copied.get_trials()] == [t.params for t in study.get_trials()]


def test_segments_of_another_study_mean_nothing_here() -> None:
    old = optuna.create_study(study_name="old", sampler=RecurrenceSampler(seed=0))
    run(old, 20)
    study = make_study()
    study.add_trials(old.get_trials()[-3:])
    run(study, SIZE)
    assert [s.index for s in segments(study)[3:]] == [0] * SIZE


def test_other_trials_have_no_segment() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    assert segment_of(run(study, 1).get_trials()[0]) is None
