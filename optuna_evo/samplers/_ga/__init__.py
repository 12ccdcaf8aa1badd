"""The genetic algorithm, in parts.

* `_sampler`: the public class, Optuna's hooks and nothing else.
* `_assignment`: the slot of a trial in the population and its random stream.
* `_cache`: the populations of the studies in use.
* `_population`: generations, parents and elites, read from a study's trials.
* `_lists`: variable-length lists inside flat parameter names.
* `_operators`: selection, crossover and mutation.
* `_genes`: one parameter on the scale on which it evolves.
"""
