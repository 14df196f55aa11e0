"""One rank of a training: python rank_fit.py JOB.json; the job names data, config text and the folder of results.

With ``states`` the training state is kept there; with ``stop_after``, a number of iterations, every rank then ends as
if killed, once that state is stored.
"""

import json
import os
import sys
from pathlib import Path

STOPPED = 70


def main(job):
    from core.config.adapt import set_data
    from core.config.fingerprint import config_from_text
    from core.data.dataset import open_dataset
    from core.data.reference import DataRef
    from core.training.distributed import process_group, rank
    from core.training.fit import fit
    from core.training.states import StateSettings

    if job.get("stop_after"):
        stop_after(job["stop_after"])
    folder = Path(job["folder"])
    with process_group():
        dataset = open_dataset(DataRef.from_json(job["data"]))
        config = config_from_text(job["config"])
        set_data(config, dataset)
        result = fit(config, dataset, folder / "out.pth", folder / "out.log", folder / f"work-{rank()}",
                     parent=Path(job["parent"]) if job["parent"] else None,
                     state=StateSettings.of(job.get("states", ""), 10))
        (folder / f"metrics-{rank()}.json").write_text(json.dumps(result.metrics))


def stop_after(iterations):
    from torch import distributed

    from core.training.hooks import StateHook

    def end(hook):
        hook.save()
        hook._states.wait()
        # The launcher ends the other ranks with the first that fails.
        distributed.barrier()
        os._exit(STOPPED)

    after_iteration, after_epoch = StateHook.after_train_iter, StateHook.after_train_epoch

    def in_epoch(hook, runner):
        after_iteration(hook, runner)
        if runner.iter + 1 == iterations and not hook.end_of_epoch(runner):
            end(hook)

    def between(hook, runner):
        after_epoch(hook, runner)
        if runner.iter == iterations:
            end(hook)

    StateHook.after_train_iter, StateHook.after_train_epoch = in_epoch, between


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3]))
    main(json.loads(Path(sys.argv[1]).read_text()))
