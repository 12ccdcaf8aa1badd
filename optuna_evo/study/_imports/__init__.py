"""Runs that were never Optuna's, from a file to the trials of a study.

* `_files`: a file as rows of plain cells, whatever is nested in it.
* `_layout`: which columns are the value, parameters, times, the state of a run.
* `_times`: when a run started and ended.
* `_ranges`: the range of a parameter, inferred or given.
* `_space`: ranges that a file names.
* `_runs`: rows to trials.
* `_store`: trials to a study, whole or not at all.
"""
