"""Take a run's results out of the stages' artifacts into the folder a person looks at."""

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.base.executor_input import ONLY_CANDIDATE

# Larger files are hard links to the artifacts; a smaller one is copied, since a person may edit it in place.
LINK_FROM_BYTES = 1 << 20

# (stage, its output, where it goes in the run's folder); of every candidate's stages, {} being its name.
RESULTS = (
    ("train", "checkpoint", "checkpoints/fp32.pth"),
    ("train", "log", "logs/train.jsonl"),
    ("compress", "checkpoint", "checkpoints/{}.pth"),
    ("compress", "log", "logs/{stage}.jsonl"),
    ("convert", "ir", "model/{}"),
    ("validate", "validation", "validation"),
    ("report", "summary", "summary.json"),
    ("report", "html", "report.html"),
    ("report", "markdown", "report.md"),
)


def collect_results(finished: Mapping[str, Mapping[str, Any]], run: Path) -> None:
    """Copy what the finished stages made, their outputs (parameters and KFP artifacts) by stage, into ``run``."""
    from core.results.outcome import Outcome

    for stage, output, place in RESULTS:
        for name in sorted(found for found in finished if found.partition("-")[0] == stage):
            source = Path(finished[name][output].path)
            if Outcome.at(source) is not None:
                continue
            target = run / place.format(name.partition("-")[2] or ONLY_CANDIDATE, stage=name)
            if source.is_dir():
                for path in source.rglob("*"):
                    if path.is_file():
                        _link_or_copy(path, target / path.relative_to(source))
            else:
                _link_or_copy(source, target)


def write_parameters(values: dict[str, Any], run: Path) -> None:
    """Keep the parameters of a run in the form that --params takes."""
    import yaml

    (run / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _link_or_copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.stat().st_size >= LINK_FROM_BYTES:
        # Not every file system has hard links, and none has them to another one.
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    shutil.copyfile(source, target)
