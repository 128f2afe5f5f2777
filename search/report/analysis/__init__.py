"""Analysis of what smoothing does to the networks of a study, written as tables and pictures."""
