"""What smoothing does to the networks of a study: found, put side by side, written as tables and pictures."""
