"""Suspects: training labels that are probably wrong, listed by networks of what a study chose; data cleaned of them."""
