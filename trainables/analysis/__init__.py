"""Analysis of a trained network beyond its accuracy: calibration, robustness, distillation, memorisation.
Imports all of `trainables`; torch and scipy.
"""
