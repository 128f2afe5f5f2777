"""Data of a noise level: training set, noisy validation, clean test set. Imports `noise`, `files` and `config`;
pyarrow, scikit-learn and torchvision where a source needs them.
"""
