"""Decide what a study tries next, and when a trial is stopped early. Imports `storage`, `selection` and what is below;
Optuna, never Ray or MLflow. Each file answers one question:

    allocation      which cell gets the next trial of the search, and has this cell had enough?
    initial_design  which hyperparameters does a cell try before any sampler is asked?
    warm_start      what do theory, an earlier study and neighbouring noise levels propose?
    transfer        what did an earlier study of the home find, in this one's search space?
    samplers        what does Optuna's sampler propose next?
    asking          which of these proposals becomes the next trial, under which training seed?
    deduplication   what was tried already?
    pruners         is this trial's curve so poor that it is stopped early?
    confirmation    which run does the check on fresh seeds need next?
    cell_state      what has the driver seen of this cell?

Of no cell, but of anyone's Optuna study: `posterior_sampler`, with `encoded_space`, the surrogate's form of its space.
"""
