"""Old studies and a user's beliefs as the start of a new study, in parts.

* `_sampler`: the public class: Optuna's hooks, and which part proposes.
* `_source`: an old study as a plain value.
* `_user_prior`: what a user believes, as a density.
* `_belief`: sources in the target's space, and a posterior that knows them.
* `_portfolio`: which of their configurations to try first, and how many.
* `_turns`: whether the sources or a search without them should propose.
* `_choice`: the configuration that a belief finds worth trying.
"""
