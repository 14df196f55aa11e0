"""The highest pruning level within a limit on accuracy: ``python -m core.training.pruning_search CONFIG ...``.

NNCF 2.0.0's accuracy-aware training needs a training loop of its own, so the level is searched outside: each trial is
a whole fine-tuning at one level.
"""

import argparse
import copy
import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.base.cli import run_guarded
from core.base.errors import UserError
from core.base.foreign_file import open_regular
from core.base.json_file import json_object
from core.base.supervision import run_command
from core.base.text import shown
from core.results.summary import within

if TYPE_CHECKING:
    from core.data.dataset import Dataset

PROGRAM = "python -m core.training.pruning_search"
RECORD = "trials.jsonl"
# Kept filters are rounded up to a multiple of 8: levels nearer to each other give almost the same network.
NEAREST_LEVELS = 0.02
_MOST_RECORD_BYTES = 16 << 20
_TARGETS = ("pruning_target", "pruning_flops_target")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """One fine-tuning: its pruning level, the mAP it reached (0..1) and its checkpoint."""

    level: float
    map: float
    checkpoint: str


@dataclass(frozen=True)
class SearchPlan:
    """What is searched for, and within which bounds.

    Args:
        baseline_map: mAP of the unpruned model on the same images, 0..1.
        max_map_drop: How far below it a pruned model may be, in the same units.
        trials: Trainings at most.
        highest: The highest level to try, and the first.
        identity: Digest of everything else that decides a trial; a record of another one is not continued.
    """

    baseline_map: float
    max_map_drop: float
    trials: int
    highest: float
    identity: str = ""

    def __post_init__(self) -> None:
        for name, valid, rule in (
                ("baseline_map", 0 < self.baseline_map <= 1, "above 0 and at most 1: train the model first"),
                ("max_map_drop", 0 <= self.max_map_drop < 1, "from 0 and below 1, such as 0.01 for one point"),
                ("trials", self.trials >= 1, "at least 1"), ("highest", 0 < self.highest < 1, "between 0 and 1")):
            if not valid:
                raise UserError(f"pruning search, {name}", getattr(self, name), f"It is {rule}.", "Change the value.")

    def accepts(self, trial: Trial) -> bool:
        """Return whether a trial's mAP is within the limit."""
        return within(self.baseline_map - trial.map, self.max_map_drop)


@dataclass(frozen=True)
class SearchResult:
    """All trials in the order in which they were made, and the highest level that was accepted, None for none."""

    trials: tuple[Trial, ...]
    best: Trial | None


def search_pruning_level(run_trial: Callable[[float], Trial], plan: SearchPlan, record: Path) -> SearchResult:
    """Bisect the pruning level: the highest one first, then halfway between what was accepted and what was not.

    That finds the limit where more pruning costs more accuracy; where it does not, the best trial still is one that
    was measured. Each trial is written to ``record`` (JSON lines) as soon as it is done, and one that stands there is
    not made again, so a search that was killed resumes where it was.

    Args:
        run_trial: Prunes to a level, trains, and returns the measured trial.
        plan: Limits of the search.
        record: The file of trials; its first line is the plan.

    Raises:
        UserError: ``record`` belongs to another plan, or is damaged.
    """
    done = {trial.level: trial for trial in _open_record(record, plan)}
    trials: list[Trial] = []
    accepted, refused, level = 0.0, 1.0, plan.highest
    while len(trials) < plan.trials:
        if level not in done:
            done[level] = run_trial(level)
            _append(record, asdict(done[level]))
        trials.append(done[level])
        good = plan.accepts(trials[-1])
        logger.info("pruning level %.4f: mAP %.4f, %+.4f to the unpruned model: %s", level, trials[-1].map,
                    trials[-1].map - plan.baseline_map, "accepted" if good else "refused")
        accepted, refused = (level, refused) if good else (accepted, level)
        if accepted == plan.highest or refused - accepted < NEAREST_LEVELS:
            break
        level = round((accepted + refused) / 2, 4)
    best = max(filter(plan.accepts, trials), key=lambda trial: trial.level, default=None)
    return SearchResult(tuple(trials), best)


def _open_record(record: Path, plan: SearchPlan) -> list[Trial]:
    """Return the trials in ``record``, which is created where it is absent; a last line that is cut off is removed."""
    try:
        content = b""
        if record.exists():
            with open_regular(record, _MOST_RECORD_BYTES) as file:
                content = file.read()
        whole = content[:content.rfind(b"\n") + 1]
        if content and not content.startswith(b"{"):
            raise ValueError("it does not start with an object")
        head, *lines = [json_object(line) for line in whole.splitlines()] or [{}]
        trials = [Trial(**line) for line in lines]
    except (OSError, ValueError, TypeError) as error:
        raise UserError("pruning search", record, f"It is not a record of trials ({shown(error)}).",
                        "Remove the file to start from scratch.") from error
    if not whole:
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text("", encoding="utf-8")
        _append(record, asdict(plan))
        return []
    if whole != content:
        os.truncate(record, len(whole))
    # More trials than before continue the same search.
    different = [key for key, value in asdict(plan).items() if key != "trials" and head.get(key) != value]
    if different:
        raise UserError("pruning search", record, f"It was started with another {', '.join(different)}.",
                        "Give the values it was started with, or another --work-dir.")
    return trials


def _append(record: Path, line: dict[str, Any]) -> None:
    with open(record, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def set_pruning_level(config: Any, level: float) -> None:
    """Write ``level`` as the target of the config's filter_pruning, in place; a share of FLOPs stays one.

    Raises:
        UserError: The config prunes no filters.
    """
    section = (config.get("nncf_config") or {}).get("compression") or []
    for entry in section if isinstance(section, (list, tuple)) else [section]:
        if entry.get("algorithm") == "filter_pruning":
            params = entry.setdefault("params", {})
            key = _TARGETS[1] if _TARGETS[1] in params else _TARGETS[0]
            params[key] = level
            # A schedule cannot start above its end.
            if entry.get("pruning_init", 0) >= level:
                entry["pruning_init"] = 0
            return
    raise UserError("config", "no filter_pruning in nncf_config", "A search of the pruning level needs it.",
                    "Take a config such as configs/nncf_compression/retinanet_r18_small/pruning.py.")


class FineTuning:
    """Makes a trial by training a config at a level from a plain checkpoint, scored on the validation split."""

    def __init__(self, config: Any, dataset: "Dataset", parent: Path, work_dir: Path, seed: int = 0) -> None:
        if dataset.val is None:
            raise UserError("data", "no validation split", "The level is chosen on images that are not the test's.",
                            "Name a split (--val-split).")
        set_pruning_level(copy.deepcopy(config), 0.5)
        self._config, self._dataset, self._parent = config, dataset, Path(parent)
        self._work_dir, self._seed = Path(work_dir), seed

    def identity(self) -> str:
        """Return a digest of config, data, parent and seed."""
        from core.config.fingerprint import config_to_text, file_digest, json_digest

        return json_digest([config_to_text(self._config), self._dataset.digest, file_digest(self._parent), self._seed])

    def baseline_map(self) -> float:
        """Return the parent's mAP on the validation split."""
        from core.checkpoint.checkpoint import load_checkpoint
        from core.config.adapt import plain_config
        from core.detectors.building import build_detector
        from core.training.device import device
        from core.training.evaluate import evaluate_network
        from core.training.model import load_plain_weights

        detector = build_detector(plain_config(self._config))
        load_plain_weights(detector, load_checkpoint(self._parent), self._parent)
        scored = evaluate_network(detector.to(device()), self._config, self._dataset.val, self._dataset.classes)
        return scored.metrics.map

    def __call__(self, level: float) -> Trial:
        """Train at ``level`` and return the trial."""
        from core.training.fit import fit

        config, folder = copy.deepcopy(self._config), self._work_dir / f"level-{level:.4f}"
        set_pruning_level(config, level)
        result = fit(config, self._dataset, folder / "checkpoint.pth", folder / "training.log", folder / "work",
                     parent=self._parent, seed=self._seed)
        return Trial(level, result.metrics["map"], str(folder / "checkpoint.pth"))


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = argparse.ArgumentParser(prog=PROGRAM, formatter_class=argparse.ArgumentDefaultsHelpFormatter,
                                     description="Find the highest pruning level that keeps mAP within a limit. "
                                     "Exit code 0: found, 1: no trial kept it.")
    parser.add_argument("config", metavar="CONFIG", help="config with filter_pruning in its nncf_config")
    parser.add_argument("--checkpoint", metavar="FILE", type=Path, required=True, help="plain checkpoint to prune")
    parser.add_argument("--data", metavar="URI", required=True, help="data set, as for the pipeline")
    for split in ("train", "val", "test"):
        parser.add_argument(f"--{split}-split", metavar="NAME", default="auto", help=f"the data's {split} split")
    parser.add_argument("--max-map-drop", metavar="X", type=float, default=0.015, help="mAP that may be lost, 0..1")
    parser.add_argument("--trials", metavar="N", type=int, default=5, help="trainings at most")
    parser.add_argument("--highest", metavar="LEVEL", type=float, default=0.7, help="highest level to try, and first")
    parser.add_argument("--work-dir", metavar="FOLDER", type=Path, required=True,
                        help=f"for checkpoints and {RECORD}; the same folder again continues the search")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="seed of every trial")
    parser.add_argument("--cfg-options", metavar="KEY=VALUE", nargs="+", default=[], help="changes to the config")
    return parser


def search(arguments: argparse.Namespace) -> int:
    """Search as the command line asks, print the trials and return the exit code."""
    from core.config.adapt import fit_to_data
    from core.config.loading import load_config
    from core.config.options import parse_options
    from core.data.dataset import open_dataset, resolve_data

    dataset = open_dataset(resolve_data(arguments.data, train_split=arguments.train_split,
                                        val_split=arguments.val_split, test_split=arguments.test_split))
    config = load_config(arguments.config, parse_options(arguments.cfg_options))
    fit_to_data(config, dataset)
    tuning = FineTuning(config, dataset, arguments.checkpoint, arguments.work_dir, arguments.seed)
    plan = SearchPlan(tuning.baseline_map(), arguments.max_map_drop, arguments.trials, arguments.highest,
                      tuning.identity())
    result = search_pruning_level(tuning, plan, arguments.work_dir / RECORD)
    print(f"unpruned: mAP {plan.baseline_map:.4f}, limit {plan.baseline_map - plan.max_map_drop:.4f}")
    for trial in result.trials:
        mark = "best" if trial == result.best else "accepted" if plan.accepts(trial) else "refused"
        print(f"{trial.level:.4f}: mAP {trial.map:.4f} {mark:8} {trial.checkpoint}")
    if result.best is None:
        print("No level kept mAP within the limit: train each trial longer, or allow more with --max-map-drop.")
    return 0 if result.best else 1


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_guarded(PROGRAM, lambda: search(arguments))


if __name__ == "__main__":
    sys.exit(run_command(PROGRAM, main))
