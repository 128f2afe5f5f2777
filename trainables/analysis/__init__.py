"""What a trained network is like beside its accuracy: calibrated, robust, a good teacher, a learner of wrong labels."""
