"""A first study of a user's own data: what a file or folder holds, and a study file that fits it.

Imports `run` (to measure the data and what a study of them costs), `report`, `spec` and `trainables`.
"""
