"""Read a study file, check it once, and settle every choice that it leaves open. Imports `records` and `trainables`
alone: neither Ray, Optuna, MLflow, torch, scipy nor rich.
"""
