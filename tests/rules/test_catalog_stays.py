"""Named genomes are the same updates from release to release: stored studies refer to them."""

import pytest

from optuna_evo import catalog


PINNED = {
    "adam": "ea1cb4dc2c157ad0",
    "adamw": "65a1c05fba82ec57",
    "adamw_cosine": "f5b6e00dc6b68e8c",
    "adamw_wsd": "c65ce68ce931e968",
    "cautious_adamw": "15052f9ecb06cf32",
    "generalized_adam_1": "8c48672ccb3bdd25",
    "generalized_adam_2": "19669fb31f77f649",
    "generalized_adam_3": "3e4868f1e85462a7",
    "generalized_adam_4": "1e2856f2483e308a",
    "generalized_adam_5": "c3ad0e4c1f1aa4d6",
    "lion_like": "be701219d5a22c7c",
    "lion": "c642a481237ec707",
    "momentum": "07e9a38ce840f8aa",
    "muon": "7e8ba65ec3825d05",
    "nadamw": "6427710fa7577dac",
    "published_2025": "a34d12489daf855d",
    "rmsprop": "9fd890d99b475bb0",
    "sgd": "7760d2496b9e16dc",
    "soap": "a981a82d64911800",
}


@pytest.mark.parametrize(("name", "fingerprint"), PINNED.items())
def test_a_named_genome_is_the_update_that_it_was(name: str, fingerprint: str) -> None:
    assert catalog[name].fingerprint() == fingerprint
