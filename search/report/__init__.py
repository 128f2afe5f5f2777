"""Tables, pictures and progress for readers, and the analysis of networks. Imports `selection`, `storage`
and what is below; rich and matplotlib, never Ray, Optuna or MLflow.
"""
