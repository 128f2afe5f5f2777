"""Tune a training that is partly luck and can diverge. Run it where the folder `package` is."""

import math
import random

import optuna
import optunahub


def objective(trial: optuna.Trial) -> float:
    lr = trial.suggest_float("lr", 1e-4, 1.0, log=True)
    momentum = trial.suggest_float("momentum", 0.0, 0.99)
    seed = trial.number % 3
    trial.set_user_attr("train_seed", seed)
    effective = lr / (1 - momentum)
    trial.set_user_attr("diverged", effective > 1)
    if effective > 1:
        return math.nan
    luck = random.Random(seed).gauss(0, 0.3) + random.Random(trial.number).gauss(0, 0.1)
    return 90 - 2 * math.log10(effective / 0.3) ** 2 + luck


if __name__ == "__main__":
    hub = optunahub.load_local_module(package="samplers/tosmooth_posterior", registry_root="./package/")
    study = optuna.create_study(direction="maximize", sampler=hub.PosteriorSampler(seed=0))
    study.optimize(objective, n_trials=25)
    print(f"best accuracy {study.best_value:.2f} at {study.best_params}")
