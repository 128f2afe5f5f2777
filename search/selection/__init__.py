"""Selection: pure functions from records to the best configuration, how sure that is, the gain over cross-entropy, and
early stopping of a search. Imports `surrogate`, `spec` and `records`; never Ray, Optuna or MLflow.
"""
