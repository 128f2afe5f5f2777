"""No network at all: boosted trees of scikit-learn, ten more each epoch."""

from sklearn.ensemble import GradientBoostingClassifier

from tosmooth import Trial


def train(trial: Trial) -> None:
    """Grow the trees and report each epoch."""
    x, y = trial.inputs.numpy(), trial.labels.numpy()
    trees = GradientBoostingClassifier(
        warm_start=True,
        max_depth=trial.params["depth"],
        learning_rate=trial.params["lr"],
        max_features=trial.params["features"],
        random_state=trial.seed % 2**32,
    )
    for epoch in range(1, trial.epochs + 1):
        trees.set_params(n_estimators=10 * epoch)
        trees.fit(x[trial.train], y[trial.train])
        metrics = {}
        if trial.test_inputs is not None and trial.test_labels is not None:
            metrics["test_accuracy"] = 100 * trees.score(trial.test_inputs.numpy(), trial.test_labels.numpy())
        trial.report(epoch, val_accuracy=100 * trees.score(x[trial.validation], y[trial.validation]), **metrics)
