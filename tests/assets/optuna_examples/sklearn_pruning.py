"""Train a linear classifier step by step and stop trials that do not look promising."""

import optuna
import sklearn.datasets
import sklearn.linear_model
import sklearn.model_selection


N_STEPS = 20


def objective(trial):
    iris = sklearn.datasets.load_iris()
    classes = list(set(iris.target))
    train_x, valid_x, train_y, valid_y = sklearn.model_selection.train_test_split(
        iris.data, iris.target, test_size=0.25, random_state=0
    )

    alpha = trial.suggest_float("alpha", 1e-5, 1e-1, log=True)
    classifier = sklearn.linear_model.SGDClassifier(alpha=alpha)

    for step in range(N_STEPS):
        classifier.partial_fit(train_x, train_y, classes=classes)

        trial.report(classifier.score(valid_x, valid_y), step)
        if trial.should_prune():
            raise optuna.TrialPruned()

    return classifier.score(valid_x, valid_y)


if __name__ == "__main__":
    study = optuna.create_study(direction="maximize")
    study.optimize(objective, n_trials=100)
    print(study.best_trial)
