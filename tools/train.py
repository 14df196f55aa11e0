"""Train a detector as MMDetection's tools/train.py does; with an nncf_config in the config, compressed."""

import argparse
import keyword
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from core.base.errors import UserError
from core.base.supervision import run_command
from core.base.text import bounded_repr
from core.training.launch import run_on_ranks
from tools import command


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = command.parser("train", "Train a detector; with an nncf_config in the config, compress it.")
    parser.add_argument("config", metavar="CONFIG", help="MMDetection config")
    parser.add_argument("--work-dir", metavar="FOLDER", default="", help="where checkpoints and logs are written "
                        "(default: the config's work_dir, else work_dirs/NAME)")
    parser.add_argument("--resume-from", metavar="FILE", default="", help="checkpoint to resume: weights, optimizer, "
                        "epoch")
    parser.add_argument("--auto-resume", action="store_true", help="resume from the newest checkpoint in work-dir")
    parser.add_argument("--load-from", metavar="FILE", default="", help="checkpoint to start from")
    parser.add_argument("--no-validate", action="store_true", help="do not score the model during training")
    parser.add_argument("--seed", metavar="N", type=int, default=None,
                        help="seed of all random generators (default: the config's, else 0)")
    parser.add_argument("--deterministic", action="store_true", help="use deterministic algorithms of cuDNN")
    parser.add_argument("--gpus", metavar="N", type=int, default=0, help="GPUs, a process for each; 0 works on the CPU")
    parser.add_argument("--cpu-processes", metavar="N", type=int, default=1, help="processes on the CPU")
    return parser


def train(arguments: argparse.Namespace, output: Any = None) -> None:
    """Train; leave in work_dir what MMDetection leaves there."""
    from core.config.adapt import fit_to_data
    from core.data.dataset import open_dataset
    from core.training.distributed import first_rank, first_rank_first
    from core.training.log import log_to_file, log_to_screen
    from core.training.refusals import require_obeyed
    from core.training.trainer import Output, Trainer

    config = command.read_config(arguments.config, arguments.cfg_options, arguments.trust_config)
    work_dir = command.work_dir_of(arguments.work_dir, config, arguments.config)
    _take_options(config, arguments, work_dir)
    # Before the data are read, and the config is adapted to them.
    require_obeyed(config)
    work_dir.mkdir(parents=True, exist_ok=True)
    name = time.strftime("%Y%m%d_%H%M%S")
    log_to_screen()
    if first_rank():
        log_to_file(work_dir / f"{name}.log")
        write_config(config, work_dir / f"{Path(arguments.config).stem}.py")
    with first_rank_first():
        dataset = open_dataset(command.resolve(config, Path(arguments.config), arguments.data))
    fit_to_data(config, dataset)
    seed = arguments.seed if arguments.seed is not None else int(config.get("seed") or 0)
    trainer = Trainer(config, dataset, Output(work_dir, name, checkpoints=True, validate=not arguments.no_validate),
                      seed=seed)
    trainer.run()


def _take_options(config: Any, arguments: argparse.Namespace, work_dir: Path) -> None:
    """Put the command line's choices into the config, as MMDetection does."""
    config.work_dir = str(work_dir)
    for key in ("load_from", "resume_from"):
        if getattr(arguments, key):
            config[key] = getattr(arguments, key)
    latest = work_dir / command.LATEST
    if (arguments.auto_resume or config.get("auto_resume")) and not config.get("resume_from") and latest.is_file():
        config.resume_from = str(latest)
    if arguments.deterministic:
        config.deterministic = True
    if config.get("checkpoint_config") is None:
        config.checkpoint_config = {"interval": 1}


def write_config(config: Any, file: Path) -> None:
    """Write a config as a Python file, a key an assignment, as MMDetection dumps it.

    Raises:
        UserError: A key is no name: in a JSON file it can be any text, and would stand in the file as code.
    """
    import pprint

    from core.config.plain_data import plain_data

    values = plain_data(dict(config.items()), "config")
    for key in values:
        if not key.isidentifier() or keyword.iskeyword(key):
            raise UserError("config", f"the key {bounded_repr(key, 80)}", "Each of its keys is a name.", "Rename it.")
    file.write_text("".join(f"{key} = {pprint.pformat(value, width=116, sort_dicts=False)}\n"
                            for key, value in values.items()))


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    command.let_children_import()
    return run_on_ranks(build_parser(), train, "tools.train", argv)


if __name__ == "__main__":
    sys.exit(run_command("tools/train.py", main))
