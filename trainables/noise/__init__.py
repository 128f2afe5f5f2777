"""Label noise: transition matrices, seeded corruption, human labels, and the noise rate by noisy labels alone.
Imports `errors`; numpy, torch to read label files, and cleanlab for the estimate.
"""
