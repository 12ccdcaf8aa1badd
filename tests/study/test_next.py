"""What next: the commands that make sense, as lines that can be copied."""

import dataclasses
import itertools
import shlex

import pytest

from optuna_evo.cli import cli
from optuna_evo.study import controller_lines
from optuna_evo.study import next_lines
from optuna_evo.study import StudyState


NEW = StudyState(name="mine", n_left=3, has_best=False)
OPEN = StudyState(name="mine", n_left=3, compares_optimizers=True, has_genomes=True)
DONE = StudyState(name="mine", compares_optimizers=True, has_genomes=True)
JUDGED = dataclasses.replace(DONE, is_judged=True)
COMMANDS = "create run show judge report export status lineage sources copy dashboard list".split()


def verbs(command: str, state: StudyState | None) -> list[str]:
    lines = [line.split("  #")[0].split() for line in next_lines(command, state)]
    return [words[2] if words[1] == "study" else words[1] for words in lines]


@pytest.mark.parametrize(
    ("command", "state", "expected"),
    [
        ("create", NEW, ["run", "status", "dashboard"]),
        ("run", NEW, ["status", "dashboard"]),
        ("go on", OPEN, ["run", "report", "export"]),
        ("show", OPEN, ["run", "report", "export"]),
        ("show", DONE, ["judge", "report", "export"]),
        ("run", JUDGED, ["report", "export", "dashboard"]),
        ("judge", JUDGED, ["report", "export", "dashboard"]),
        ("report", JUDGED, ["export", "dashboard", "show"]),
        ("export", DONE, ["judge", "report", "dashboard"]),
        ("run", StudyState(name="a", has_lineages=True), ["lineage", "report", "export"]),
        ("lineage", StudyState(name="a", has_lineages=True), ["report", "export", "dashboard"]),
        ("run", StudyState(name="a", has_sources=True), ["report", "export", "sources"]),
        ("list", StudyState(name="a", is_known=False), ["show", "dashboard"]),
        ("delete", None, ["list", "dashboard"]),
        ("list", None, ["dashboard"]),
    ],
)
def test_a_command_is_followed_by_what_makes_sense(
    command: str, state: StudyState | None, expected: list[str]
) -> None:
    assert verbs(command, state) == expected


def every_state() -> list[StudyState]:
    flags = [f.name for f in dataclasses.fields(StudyState) if f.type in (bool, "bool")]
    pairs = [(), *itertools.combinations(flags, 2)]
    return [
        StudyState(name=name, n_left=n, **({"has_best": False} | dict.fromkeys(pair, True)))
        for pair in pairs
        for n, name in ((0, "mine"), (1, "-x; rm *"))
    ]


def test_every_line_is_a_command_of_ours_for_this_study_whatever_it_is_called() -> None:
    storage = "sqlite:///a b.db"
    for state, command in itertools.product(every_state(), COMMANDS):
        lines = next_lines(command, state, storage=storage)
        assert 1 <= len(lines) <= 3
        for line in lines:
            text, _, why = line.partition("  # ")
            assert why and len(text) < 300
            words = shlex.split(text)
            group, rest = cli, words[1:]
            while rest and rest[0] in getattr(group, "commands", {}):
                group = group.commands[rest.pop(0)]  # type: ignore[attr-defined]
            context = group.make_context("line", rest)  # raises on an unknown option
            assert context.params["storage"] == storage
            named = context.params.get("name", context.params.get("target"))
            assert named in (None, state.name)
            assert words[1:3] != ["study", command] and words[1] != command


def test_the_comments_stand_below_each_other() -> None:
    lines = next_lines("run", JUDGED)
    assert len({line.index("  # ") for line in lines}) == 1


def test_the_best_is_exported_as_what_it_is() -> None:
    def export(**flags: bool) -> str:
        lines = next_lines("show", StudyState(name="a", **flags))  # type: ignore[arg-type]
        return next(line for line in lines if "export" in line)

    assert "-o rule.py" in export(has_genomes=True)
    assert "--controller" in export(trains_controllers=True)
    assert "--weights" in export(has_lineages=True)
    assert "-o best.json" in export()


def test_learned_optimizers_have_lines_too() -> None:
    assert "optimizer show ./mine" in controller_lines("meta-train", "./mine")[0]
    assert "--figure" in controller_lines("show", "mlp")[0]
    assert controller_lines("list", None) == []
