"""The examples in the docstrings of public names run and give what stands there."""

from collections.abc import Iterator
import doctest
from pathlib import Path
import sys

import pytest

import optuna_evo
from optuna_evo import tasks


# MNIST; the README's block runs the first on digits
NEEDS_DATA = {"smart_hyperparameter_tuning", "train_model_with_params"}


class _Checker(doctest.OutputChecker):
    """Compare only where the docstring shows an output."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return not want or super().check_output(want, got, optionflags)


def _examples() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder()
    for module in (optuna_evo, tasks):
        for name in module.__all__:
            value = getattr(module, name)
            home = sys.modules.get(getattr(value, "__module__", ""), module)
            found = finder.find(value, name, module=home, globs=dict(vars(home)))
            yield from (test for test in found if test.examples and name not in NEEDS_DATA)


EXAMPLES = list(_examples())


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.name for example in EXAMPLES])
def test_the_example_of_a_public_name_runs(
    example: doctest.DocTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output: list[str] = []
    runner = doctest.DocTestRunner(checker=_Checker())
    assert runner.run(example, out=output.append).failed == 0, "".join(output)


def test_there_are_examples_of_most_public_names() -> None:
    names = {example.name.split(".")[0] for example in EXAMPLES}
    assert len(names & {*optuna_evo.__all__}) >= 0.7 * len(optuna_evo.__all__)
