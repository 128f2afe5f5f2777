"""One training run: data, noise, network, loss, schedule and the training loop, on torch alone."""
