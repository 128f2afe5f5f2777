"""Many training runs: studies, their search, their record and the tables made of it."""
