"""A search step by step, in this process, as its runner goes through it."""

from made_plan import metrics_of

from kerastricks.search.oracle.engine import open_oracle


def values_of(plan, trial):
    return {"learning_rate": plan.base["learning_rate"], **trial.hyperparameters.values}


def run_trial(plan, oracle, trial, again=lambda oracle: oracle):
    """As `TrialRunner` does it; the oracle that ended it."""
    values = values_of(plan, trial)
    for epoch in range(1, values.get("tuner/epochs", plan.epochs) + 1):
        told = oracle.update_trial(trial.trial_id, metrics_of(values, epoch), step=epoch)
        oracle = again(oracle)
        if told.status == "STOPPED":
            break
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
    return again(oracle)


def go_on(plan, folder, again=lambda oracle: oracle, worker="tuner0"):
    """Runs a search from where it is, to its end."""
    oracle = open_oracle(plan, folder, worker)
    while True:
        trial = oracle.create_trial(worker)
        oracle = again(oracle)
        if trial.status == "STOPPED":
            return oracle
        assert trial.status == "RUNNING"
        assert len(oracle.trials) <= plan.trials
        oracle = run_trial(plan, oracle, trial, again)


def trials_of(oracle):
    """What must not depend on who was killed."""
    assert oracle.start_order == sorted(oracle.trials) == oracle.end_order
    assert not oracle.ongoing_trials
    trials = [oracle.trials[name] for name in oracle.start_order]
    return [(one.trial_id, one.status, one.hyperparameters.values, one.score, one.best_step) for one in trials]
