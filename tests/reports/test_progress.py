"""Progress where there is no terminal: lines, not one for every trial of a quick search."""

import io

import optuna
import pytest
from rich.console import Console

from optuna_evo.reports import SearchProgress


def test_without_a_terminal_lines_say_what_a_bar_would(capsys: pytest.CaptureFixture[str]) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    with SearchProgress(study, n_trials=5, console=Console(file=io.StringIO())) as progress:
        for number in range(5):
            trial = study.ask()
            x = trial.suggest_float("x", 0, 1)
            trial.set_user_attr("valid_loss", 0.25)
            progress.started(number)
            study.tell(trial, x)
            progress.finished(study.get_trials()[number])
    captured = capsys.readouterr()
    first, last = captured.err.splitlines()  # all in less than 10 seconds
    assert captured.out == "" and first.startswith("trial 0: complete 0.5488")
    assert "valid loss 0.2500; 1/5 done, best 0.5488; x=0.5488" in first
    assert "5/5 done" in last
