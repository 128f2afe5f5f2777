"""Run a study to its end: start or join Ray, hand out trials and record them, write the results. This package imports
Ray and may import everything but `doctor` and `cli`.
"""
