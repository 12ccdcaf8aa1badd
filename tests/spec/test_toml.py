"""Tables as TOML: what is written is read back as it was."""

import math
import tomllib
from typing import Any

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import pytest

from optuna_evo.spec import as_toml
from optuna_evo.spec import StudySpec


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LEAVES = st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False) | TEXTS
VALUES = st.recursive(
    LEAVES, lambda v: st.lists(v, max_size=4) | st.dictionaries(TEXTS, v, min_size=1, max_size=4)
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(TEXTS, VALUES, max_size=5))
def test_a_table_is_read_back_as_it_was(table: dict[str, Any]) -> None:
    kept = {key: value for key, value in table.items() if value != {}}
    assert tomllib.loads(as_toml(table)) == kept


def test_what_is_none_is_left_out_and_what_is_no_plain_type_refused() -> None:
    table = {"a": None, "b": {"c": None, "d": 1}, "n": math.nan}
    read = tomllib.loads(as_toml(table))
    assert read["b"] == {"d": 1} and math.isnan(read["n"]) and set(read) == {"b", "n"}
    with pytest.raises(TypeError, match="set is no type of TOML"):
        as_toml({"a": {1}})


def test_a_spec_is_read_back_as_it_was() -> None:
    spec = StudySpec.from_dict(
        {
            "name": 'my "study"',
            "tasks": ["digits"],
            "sampler": {"name": "ga", "population_size": 4},
            "space": {"name": "genome", "max_terms": 2, "warmup_steps": [1, 5]},
            "judge": {"seeds": 2, "tuning_trials": 1},
        }
    )
    assert StudySpec.from_dict(tomllib.loads(as_toml(spec.to_dict()))) == spec
