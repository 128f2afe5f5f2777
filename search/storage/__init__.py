"""The record of a study: Optuna's storage, the history of every epoch, and the home that holds both. Imports `spec` and
`preflight`; Optuna, never Ray, MLflow or the surrogate.
"""
