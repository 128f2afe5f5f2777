"""Surrogate of a cell: a Gaussian process over its trials' accuracy, the probability that training completes, their
posterior, and the acquisition function; `objective` has the like for what is no cell. Imports `spec` and `records`;
numpy and scipy, never Ray, Optuna or MLflow.
"""
