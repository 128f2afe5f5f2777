"""Labels that are probably wrong: out-of-fold predictions of a trial's configuration, ranked by cleanlab. Imports
what trains and predicts, and cleanlab where a ranking is made.
"""
