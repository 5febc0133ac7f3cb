"""The contestants of `peers.py`, each started in a process of its own.

    covertune          through its Python API
    ray_tune           the plain Ray Tune script
    optuna_study       plain Optuna, a process a core on one study
    syne_tune_asha     Syne Tune's ASHA; `syne_trial` is the script it starts for each trial

The peers share `training` (FineTuner fed by a DataLoader of files) and `space` (covertune's).
"""
