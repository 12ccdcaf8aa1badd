"""Choose a classifier and its hyperparameters for the iris data."""

import optuna
import sklearn.datasets
import sklearn.ensemble
import sklearn.model_selection
import sklearn.svm


def objective(trial):
    iris = sklearn.datasets.load_iris()

    name = trial.suggest_categorical("classifier", ["SVC", "RandomForest"])
    if name == "SVC":
        c = trial.suggest_float("svc_c", 1e-4, 1e4, log=True)
        classifier = sklearn.svm.SVC(C=c, gamma="auto")
    else:
        depth = trial.suggest_int("rf_max_depth", 2, 32, log=True)
        classifier = sklearn.ensemble.RandomForestClassifier(max_depth=depth, n_estimators=5)

    scores = sklearn.model_selection.cross_val_score(classifier, iris.data, iris.target, cv=3)
    return scores.mean()


if __name__ == "__main__":
    study = optuna.create_study(direction="maximize")
    study.optimize(objective, n_trials=100)
    print(study.best_trial)
