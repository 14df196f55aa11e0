"""The command line that runs, compiles, submits or schedules the compression pipeline."""

import argparse
import importlib.util
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    # Run by path, Python searches the script's folder; the packages lie beside it.
    sys.path[0] = str(ROOT)

from components import images  # noqa: E402
from core.base.cli import run_guarded  # noqa: E402
from core.base.errors import UserError  # noqa: E402
from core.base.supervision import run_command  # noqa: E402
from core.storage.location import parse_location  # noqa: E402
from pipelines.cluster.options import add_cluster_options, check_cluster_options, is_for_cluster  # noqa: E402
from pipelines.containers import CONFIGS  # noqa: E402
from pipelines.graph import define_pipeline  # noqa: E402

PROGRAM = "compress"
EXIT_FAILED = 1
ENVIRONMENT_VARIABLE = "MMDET_COMPRESS_VENV"
LOCATIONS = ("data", "checkpoint", "weights", "destination", "model_config", "compression_config",
             "compression_configs", "training_state")
# Locations that need not exist yet.
PLACES_TO_WRITE = ("destination", "training_state")


def build_parser() -> argparse.ArgumentParser:
    """Return the command line's argument parser."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Compress an MMDetection detector with NNCF and validate it in OpenVINO. "
        "Without an option the pipeline runs on this machine, on the built-in data.")
    parser.add_argument("--params", metavar="FILE.yaml", type=Path, help="file of pipeline parameters")
    parser.add_argument("-p", metavar="NAME=VALUE", action="append", default=[], dest="assignments",
                        help="one pipeline parameter; goes before the file's; a relative path counts from here")
    parser.add_argument("--list-params", action="store_true", help="show the pipeline's parameters and end")
    parser.add_argument("--compile", metavar="FILE.yaml", type=Path, help="write the compiled pipeline and end")
    parser.add_argument("--runner", choices=("process", "docker"), default="process",
                        help="run stages as processes (default) or as containers")
    parser.add_argument("--train-image", metavar="IMAGE", default="", help="in the place of the image named in "
                        "components/images.py; by digest where it is to be pinned")
    parser.add_argument("--openvino-image", metavar="IMAGE", default="", help="likewise")
    parser.add_argument("--work-dir", metavar="FOLDER", type=Path, default=Path("runs"),
                        help="where runs and what they share are kept (default: runs)")
    parser.add_argument("--name", help="first part of the run's folder (default: the --params file's, or compress)")
    parser.add_argument("--no-cache", action="store_true",
                        help="run every stage from its beginning, even if nothing has changed")
    add_cluster_options(parser)
    return parser


def compile_pipeline(path: Path) -> None:
    """Write the compiled pipeline to ``path``; raise UserError where its name does not end in .yaml or .yml."""
    from kfp import compiler

    from core.base.files import new_file

    if path.suffix not in (".yaml", ".yml"):
        raise UserError("--compile", path, "A compiled pipeline is a .yaml or .yml file.", "Choose such a name.")
    with new_file(path) as partial:
        compiler.Compiler().compile(define_pipeline(), str(partial))


def list_parameters() -> None:
    """Print every parameter of the pipeline with its type, default and description, the most needed first."""
    from pipelines.parameters import read_parameters

    pipeline = define_pipeline()
    parameters = read_parameters(pipeline.pipeline_spec)
    # A PipelineSpec keeps no order.
    for parameter in (parameters[name] for name in pipeline.component_spec.inputs):
        print(f"{parameter.name} = {json.dumps(parameter.default)}\n    {parameter.type_name}. {parameter.description}")


def chosen_parameters(spec: Any, file: Path | None, assignments: list[str],
                      places: Sequence[str] = LOCATIONS) -> dict[str, Any]:
    """Return a value for every parameter: the command line's before the file's before the default.

    Args:
        spec: The compiled pipeline.
        file: File of parameters, or None.
        assignments: Parameters of the command line, ``name=value``.
        places: Parameters that are folders or files of this machine.

    Raises:
        UserError: A parameter is unknown, of another type, or no location where it must be one.
    """
    from pipelines.parameters import defaults, load_parameters, parse_assignment, read_parameters, texts_of

    parameters = read_parameters(spec)
    values = defaults(parameters)
    if file is not None:
        values.update(load_parameters(file, parameters))
    for assignment in assignments:
        given = parse_assignment(assignment, parameters)
        values.update({name: _from_here(value, name) if name in places else value for name, value in given.items()})
    for name in LOCATIONS:
        # Before a value is written or sent anywhere: a signed URL or a password in it is refused.
        for location in texts_of(values, name):
            parse_location(location, f"parameter {name}")
    return values


def run_locally(arguments: argparse.Namespace) -> int:
    """Run the pipeline on this machine, gather its results and return the exit code."""
    from pipelines.console import Console
    from pipelines.containers import surroundings
    from pipelines.local import LocalRun, LocalSettings, check_runner
    from pipelines.results import collect_results, write_parameters
    from pipelines.work_dir import open_work_dir

    spec = define_pipeline().pipeline_spec
    values = chosen_parameters(spec, arguments.params, arguments.assignments)
    if arguments.runner == "docker":
        values = {name: _located(name, value) for name, value in values.items()}
    values = with_weights_from_here(values)
    name = arguments.name or (arguments.params.stem if arguments.params else "compress")
    check_runner(arguments.runner, spec)
    console = Console(sys.stdout)
    with open_work_dir(arguments.work_dir) as work_dir:
        folder = work_dir.new_run(name)
        (folder / "logs").mkdir()
        if values.get("training_state") == "" and not arguments.no_cache:
            values["training_state"] = str(work_dir.training_state)
        write_parameters(values, folder)
        console.line(f"run {folder}")
        around = surroundings(values, ROOT, work_dir.pipeline_root) if arguments.runner == "docker" else None
        local_run = LocalRun(LocalSettings(ROOT, work_dir.pipeline_root, folder / "logs", arguments.runner,
                                           use_cache=not arguments.no_cache, surroundings=around,
                                           lock=work_dir.lock), console)
        try:
            failure = local_run.run(spec, values)
        finally:
            collect_results(local_run.finished, folder)
        work_dir.point_latest_at(folder)
    _print_results(console, folder)
    if failure is None:
        return 0
    if failure.stage == "gate" and failure.exit_code in (EXIT_FAILED, None):
        console.line("The compressed model did not pass the gate; nothing was published.")
    else:
        console.line(f"{failure.stage} failed. Finished stages are kept: start again, and the run resumes there.")
    return EXIT_FAILED


def work_on_cluster(arguments: argparse.Namespace) -> int:
    """Submit, schedule or list on a cluster and return the exit code."""
    from pipelines.cluster.command import ClusterCommand

    pipeline = define_pipeline()
    parameters = None
    if not arguments.list_schedules and arguments.unschedule is None:
        parameters = chosen_parameters(pipeline.pipeline_spec, arguments.params, arguments.assignments, places=())
    return ClusterCommand(arguments, pipeline, ROOT).run(parameters)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.compile and (arguments.params or arguments.assignments):
        parser.error("--compile takes no parameters: they are given when the compiled pipeline is run")
    check_cluster_options(parser, arguments)
    return run_guarded(PROGRAM, lambda: _work(arguments))


def _work(arguments: argparse.Namespace) -> int:
    if importlib.util.find_spec("kfp") is None:
        raise UserError("Python", sys.executable, f"It has no kfp, and {_environment()} cannot stand in.",
                        "Run 'make setup'.")
    images.use(arguments.train_image, arguments.openvino_image)
    if arguments.list_params:
        list_parameters()
    elif arguments.compile:
        compile_pipeline(arguments.compile)
    elif is_for_cluster(arguments):
        return work_on_cluster(arguments)
    else:
        return run_locally(arguments)
    return 0


def enter_environment() -> None:
    """Go on in the environment that has kfp, where this Python has none, so that any of the machine can start this."""
    if importlib.util.find_spec("kfp") is not None:
        return
    environment = _environment()
    python = environment / "bin" / "python"
    if Path(sys.prefix).resolve() != environment.resolve() and os.access(python, os.X_OK):
        os.execv(str(python), [str(python), __file__, *sys.argv[1:]])


def _environment() -> Path:
    return Path(os.environ.get(ENVIRONMENT_VARIABLE) or ROOT / ".venv").absolute()


def _from_here(value: Any, name: str) -> Any:
    """Return a location, or a list of them, such that it counts from where the command is given; stages run in the
    project's folder."""
    if isinstance(value, list):
        return [_from_here(item, name) for item in value]
    if not value or value.startswith(("file:", "~")) or "://" in value or Path.cwd() == ROOT:
        return value
    path = Path.cwd() / value
    return str(path) if name in PLACES_TO_WRITE or path.exists() else value


def with_weights_from_here(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's parameters with the weights that its configs name as MMDetection finds them: from this folder.

    Each that lies here becomes an absolute path, an option of its config; stages run in the project's folder. A config
    on S3 names no file of this machine, and one that is code is run by the stages alone.

    Raises:
        UserError: A candidate's config names a file here that the others do not: compression_options are of them all.
    """
    from core.config.loading import load_data
    from core.config.named_texts import named_weights
    from core.config.stored import is_stored
    from pipelines.parameters import texts_of

    found = dict(values)
    several = bool(values.get("compression_configs") or values.get("candidates"))
    # What ready-made candidates name is what model_config does.
    named = [values["model_config"]] if values.get("candidates") else []
    candidates = [*named, *texts_of(values, "compression_configs")] if several else []
    of_all: dict[str, dict[str, str]] = {}
    for name, options in CONFIGS.items() if Path.cwd() != ROOT else ():
        if name == "compression_config" and several:
            continue
        for file in texts_of(values, name):
            if is_stored(file):
                continue
            try:
                config = load_data(file, values.get(options))
            except UserError:
                # Resolve says what is wrong.
                continue
            here = {key: str(Path.cwd() / text) for key, text in named_weights(config)
                    if not text.startswith(("file:", "~")) and "://" not in text and (Path.cwd() / text).is_file()}
            of_all[file] = here
            found[options] = {**(found.get(options) or {}), **here}
    for file, here in ((file, of_all.get(file, {})) for file in texts_of(values, "compression_configs")):
        for key, path in here.items():
            if any(of_all.get(other, {}).get(key) != path for other in candidates):
                raise UserError(f"{file}, {key}", path, "The other candidates would get it too, since they do not name "
                                "the same file of this folder.", "Write it into the config as an absolute path.")
    return found


def _located(name: str, value: Any) -> Any:
    """Return a location of this machine, or a list, as an absolute path; the project's own configs stay relative."""
    if isinstance(value, list) and name in LOCATIONS:
        return [_located(name, item) for item in value]
    if name not in LOCATIONS or not value or "://" in value or value.startswith("file:"):
        return value
    path = Path(value).expanduser()
    absolute = Path(os.path.abspath(path if path.is_absolute() else ROOT / path))
    if name in CONFIGS and ROOT / "configs" in absolute.parents:
        return absolute.relative_to(ROOT).as_posix()
    return str(absolute)


def _print_results(console: Any, folder: Path) -> None:
    from core.base.json_file import read_json
    from core.report.table import terminal_table
    from core.results.summary import Summary

    console.line()
    summary, model = folder / "summary.json", "model/compressed"
    if summary.exists():
        record: Mapping[str, Any] = read_json(summary, "summary", "Run the report stage again.")
        console.line(terminal_table(record))
        console.line()
        model = f"model/{Summary.from_json(record, 'summary').provenance.models.candidate}"
    for label, place in (("report", "report.html"), ("model", model), ("logs", "logs")):
        if (folder / place).exists():
            console.line(f"{label}: {folder / place}")


if __name__ == "__main__":
    enter_environment()
    sys.exit(run_command(PROGRAM, main))
