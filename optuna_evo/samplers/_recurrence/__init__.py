"""Hyperparameters that evolve while a model trains, in parts.

* `_sampler`: the public class, Optuna's hooks and nothing else.
* `_options`: argument validation.
* `_segment`: which segment of training a trial is: its member, parent and temperature.
* `_state`: the members and their latest segments, read from a study's trials.
* `_feedback`: what a segment's result says beside those of the others.
* `_parents`: which segment the next one goes on from.
* `_step`: the recurrence itself, pure functions of parameters, feedback and random numbers.
"""
