"""Look at machine, nodes, folders and services before a study starts. Imports nothing above `records`; Ray in `nodes`
alone.
"""
