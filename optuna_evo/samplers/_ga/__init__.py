"""The genetic algorithm, in parts.

* `_sampler`: the public class, Optuna's hooks and nothing else.
* `_assignment`: the slot of a trial in the population and its random stream.
* `_cache`: the populations of the studies in use.
* `_population`: generations, parents and elites, read from a study's trials.
* `_lists`: variable-length lists inside flat parameter names.
* `_breeding`: the parents and the child of a slot.
* `_operators`: selection, crossover and mutation that is annealed.
* `_adaptive`: crossover by kind and mutation that adapts.
* `_heritage`: sizes of successful mutations, and values for new branches.
* `_screen`: which of several children is promising.
* `_ways`: which of the two, and their defaults.
* `_genes`: one parameter on the scale on which it evolves.
"""
