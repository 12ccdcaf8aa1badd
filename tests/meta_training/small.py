"""Small meta-trainings for tests."""

from typing import Any

from optuna_evo.meta_training import MetaSpec


def small_spec(**changes: Any) -> MetaSpec:
    """Return a spec of a meta-training that takes a second, with changes by table."""
    outer = {"steps": 8, "pairs": 4, "truncation": 4, "stacks": 2} | changes.pop("outer", {})
    return MetaSpec.from_dict(
        {
            "name": "small",
            "controller": {"name": "mlp", "hidden_size": 4, "genome": {"name": "adam", "lr": 0.1}},
            "families": [{"name": "quadratics", "size": 4}],
            "outer": outer,
            "horizon": {"low": 8, "high": 16},
            "selection": {"every": 4, "tasks": 4},
        }
        | changes
    )
