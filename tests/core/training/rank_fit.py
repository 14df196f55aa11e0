"""One rank of a training: python rank_fit.py JOB.json; the job names data, config text and the folder of results."""

import json
import sys
from pathlib import Path


def main(job):
    from core.config.adapt import set_data
    from core.config.fingerprint import config_from_text
    from core.data.dataset import open_dataset
    from core.data.reference import DataRef
    from core.training.distributed import joined, rank
    from core.training.fit import fit

    folder = Path(job["folder"])
    with joined():
        dataset = open_dataset(DataRef.from_json(job["data"]))
        config = config_from_text(job["config"])
        set_data(config, dataset)
        result = fit(config, dataset, folder / "out.pth", folder / "out.log", folder / f"work-{rank()}",
                     parent=Path(job["parent"]) if job["parent"] else None)
        (folder / f"metrics-{rank()}.json").write_text(json.dumps(result.metrics))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3]))
    main(json.loads(Path(sys.argv[1]).read_text()))
