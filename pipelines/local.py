"""Run the compiled pipeline on this machine, by kfp.local's own orchestration.

A few things are put in kfp.local's place (kfp 2.17.0): the task handler, which starts a stage's command in the
environment its image stands for; the standard output, so that its log goes to a file; the order of tasks; the items of
a loop and the order of its iterations; and the function that executes one task, wrapped to show progress and to keep
outputs that kfp.local forgets when a later task fails.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from google.protobuf import json_format
from kfp import dsl, local
from kfp.local import cache as kfp_cache
from kfp.local import config as kfp_config
from kfp.local import graph_utils, pipeline_orchestrator, status, subprocess_task_handler, task_handler_interface
from kfp.local.orchestrator import enhanced_dag_orchestrator, orchestrator_utils, task_executor
from kfp.pipeline_spec import pipeline_spec_pb2

from components import images
from core.base.executor_input import ONLY_CANDIDATE
from pipelines import containers
from pipelines.code_digest import CodeDigests
from pipelines.console import Console, duration
from pipelines.environments import child_environment, environment_python
from pipelines.process import run_process

CODE_VARIABLE = "MMDET_COMPRESS_CODE"


@dataclass(frozen=True)
class LocalSettings:
    """How and where to run.

    Attributes:
        root: The project's folder: stages run in it, and their code is found there.
        pipeline_root: Folder for the stages' artifacts and the cache.
        logs: Folder for the logs of this run.
        runner: ``process`` or ``docker``.
        use_cache: Whether a stage may take over what an earlier run made of the same inputs by the same code.
        surroundings: What containers see of this machine; for the runner ``docker``.
        lock: Descriptor of the work dir's lock, which stages that are processes keep open.
    """

    root: Path
    pipeline_root: Path
    logs: Path
    runner: str = "process"
    use_cache: bool = True
    surroundings: containers.Surroundings | None = None
    lock: int | None = None


@dataclass(frozen=True)
class Failure:
    """The stage that ended a run, and its exit code where the runner tells it."""

    stage: str
    exit_code: int | None


@dataclass
class _Stage:
    name: str
    number: int
    total: int
    begun: float = field(default_factory=time.monotonic)
    ran: bool = False
    exit_code: int | None = None


class LocalRun:
    """One execution of a compiled pipeline on this machine.

    Attributes:
        finished: Outputs of every stage that has succeeded, by stage and name; filled as the run goes on, so that it
            is right after an interruption, too.
    """

    def __init__(self, settings: LocalSettings, console: Console) -> None:
        self._settings, self._console = settings, console
        self._stage: _Stage | None = None
        self._spec = pipeline_spec_pb2.PipelineSpec()
        self._failure: Failure | None = None
        self._images: list[str] = []
        self._client: Any = None
        self.finished: dict[str, dict[str, Any]] = {}

    def run(self, spec: pipeline_spec_pb2.PipelineSpec, arguments: Mapping[str, Any]) -> Failure | None:
        """Execute the pipeline; return the stage that failed, or None."""
        self._images = executor_images(spec)
        spec = with_run_name(for_this_machine(spec, self._code()), self._settings.logs.parent.name)
        self._spec = spec
        with contextlib.ExitStack() as stack:
            stack.enter_context(_replaced(kfp_config.LocalExecutionConfig, "instance", None))
            runner = self._runner(stack)
            execute = stack.enter_context(_replaced(task_executor, "execute_single_task", self._execute))
            self._execute_in_kfp = execute
            stack.enter_context(_replaced(graph_utils, "topological_sort_tasks", execution_stack))
            stack.enter_context(_replaced(enhanced_dag_orchestrator, "ParallelExecutor", OneAfterTheOther))
            loop = stack.enter_context(_replaced(
                enhanced_dag_orchestrator, "_run_parallel_for_task", lambda **given: loop(**with_known_inputs(given))))
            log = stack.enter_context(open(self._settings.logs / "kfp.log", "w", buffering=1, encoding="utf-8"))
            stack.enter_context(_chatter_to(log))
            if not self._settings.use_cache:
                # Not by enable_caching: what is made now must take the place of what the cache holds.
                stack.enter_context(_replaced(kfp_cache.LocalCache, "get", lambda cache, key: None))
            local.init(runner, pipeline_root=str(self._settings.pipeline_root), raise_on_error=False,
                       enable_caching=True, cache_root=str(self._settings.pipeline_root / "cache"))
            pipeline_orchestrator.run_local_pipeline(pipeline_spec=spec, arguments=dict(arguments))
        return self._failure

    def _code(self) -> Callable[[str, str], str]:
        if self._settings.runner != "docker":
            return code_digests(self._settings.root)
        with contextlib.closing(containers.connect()) as client:
            ids = containers.image_ids(client, self._images)
            for name in containers.outdated(client, self._images, self._settings.root):
                self._console.line(f"{name} was built from other code than is here; 'make images' brings it up to date")
        # A tag stays the same when the image behind it changes; its id stands for all that is in it.
        return lambda image, module: ids[image]

    def _runner(self, stack: contextlib.ExitStack) -> local.SubprocessRunner | local.DockerRunner:
        if self._settings.runner != "docker":
            stack.enter_context(_replaced(subprocess_task_handler, "SubprocessTaskHandler",
                                          partial(StageTaskHandler, run_stage=self.run_process)))
            return local.SubprocessRunner(use_venv=False)
        from kfp.local import docker_task_handler

        self._client = containers.connect()
        stack.callback(self._client.close)
        if left_over := containers.remove_left_over(self._client, self._settings.pipeline_root):
            self._console.line(f"{left_over} containers of an earlier run that was killed were removed")
        stack.enter_context(_replaced(docker_task_handler, "DockerTaskHandler",
                                      partial(StageTaskHandler, run_stage=self.run_container)))
        return local.DockerRunner()

    def _execute(self, **task: Any) -> tuple[dict[str, Any], status.Status]:
        """Stand in for kfp.local's execute_single_task."""
        if self._failure is not None:
            # In a graph with a loop kfp.local goes on with what does not need the failed stage.
            return {}, status.Status.FAILURE
        name = stage_name(task["task_spec"], task["io_store"])
        stage = self._stage = _Stage(name, len(self.finished) + 1, self._total())
        outputs, state = self._execute_in_kfp(**task)
        if state != status.Status.SUCCESS:
            self._failure = Failure(name, stage.exit_code)
            code = "" if stage.exit_code is None else f" (exit {stage.exit_code})"
            self._console.line(f"{name} FAILED{code}, see {self._settings.logs / name}.log")
        else:
            self.finished[name] = outputs
            self._console.line(
                f"{name} done in {duration(time.monotonic() - stage.begun)}" if stage.ran else
                f"[{stage.number}/{stage.total}] {name} unchanged, taken from an earlier run")
        return outputs, state

    def _total(self) -> int:
        """Return how many stages the run has: those of a loop once for each of its items, as far as these are known."""
        total, tasks = 0, self._spec.root.dag.tasks
        for task in tasks.values():
            inner = self._spec.components[task.component_ref.name].dag.tasks
            if not inner:
                total += 1
                continue
            items = task.inputs.parameters[task.parameter_iterator.items.input_parameter].task_output_parameter
            known = self.finished.get(tasks[items.producer_task].task_info.name, {})
            total += len(inner) * len(known.get(items.output_parameter_key, "?"))
        return total

    @contextlib.contextmanager
    def stage_output(self) -> Iterator[Callable[[str], None]]:
        """Announce that the current stage's command starts and give what takes its lines: for console and log."""
        stage = self._stage
        stage.ran = True
        self._console.line(f"[{stage.number}/{stage.total}] {stage.name} ...")
        with open(self._settings.logs / f"{stage.name}.log", "w", encoding="utf-8") as file:
            log = Console(file)

            def pass_on(line: str) -> None:
                log.line(line)
                self._console.line(f"{stage.name} | {line}")

            yield pass_on

    def run_process(self, image: str, command: list[str], variables: Mapping[str, str]) -> int:
        """Run the current stage's command in the environment of ``image`` and return its exit code."""
        python = environment_python(image)
        argv = [str(python), *command[1:]] if command[0] == "python" else command
        environment = child_environment(python, self._settings.root, variables)
        with self.stage_output() as pass_on:
            held = () if self._settings.lock is None else (self._settings.lock,)
            self._stage.exit_code = run_process(argv, environment, self._settings.root, pass_on, held)
        return self._stage.exit_code

    def run_container(self, image: str, command: list[str], variables: Mapping[str, str]) -> int:
        """Run the current stage's command in a container of ``image`` and return its exit code."""
        with self.stage_output() as pass_on:
            self._stage.exit_code = containers.run_container(self._client, image, command, variables,
                                                             self._settings.surroundings, pass_on)
        return self._stage.exit_code


class StageTaskHandler(task_handler_interface.ITaskHandler):
    """Runs a container's command by ``run_stage``, in place of kfp.local's own task handlers."""

    def __init__(self, image: str, full_command: list[str], pipeline_root: str, runner: Any,
                 env_vars: dict[str, str] | None = None, *,
                 run_stage: Callable[[str, list[str], Mapping[str, str]], int]) -> None:
        self._image, self._command, self._variables, self._run_stage = image, full_command, env_vars or {}, run_stage

    def run(self) -> status.Status:
        """Run the command; a non-zero exit code is a failure."""
        code = self._run_stage(self._image, self._command, self._variables)
        return status.Status.SUCCESS if code == 0 else status.Status.FAILURE


class OneAfterTheOther:
    """Runs the iterations of a loop in this thread, in place of kfp.local's ParallelExecutor.

    Stages share this machine's CPUs, and threads receive no signals.
    """

    def execute_parallel_tasks(self, tasks: list[tuple[str, pipeline_spec_pb2.PipelineTaskSpec]], *,
                               io_store: Any, fail_stack: list[str], parallelism_limit: int = 0,
                               **context: Any) -> tuple[dict[str, Any], status.Status]:
        """Return the outputs of all iterations by name; the first that fails ends the loop."""
        found = {}
        for name, task in tasks:
            outputs, state = enhanced_dag_orchestrator.execute_task(
                task_name=name, task_spec=task, io_store=io_store, fail_stack=fail_stack, **context)
            if state != status.Status.SUCCESS:
                fail_stack.append(name)
                return {}, state
            found[name] = outputs
        return found, status.Status.SUCCESS


def with_known_inputs(loop: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of kfp.local's ``_run_parallel_for_task`` with the outputs of earlier tasks put in.

    kfp.local 2.17.0 finds the items of a loop among a pipeline's parameters and tasks' outputs named Output alone, and
    gives every other output of a task the item's value (task_spec_utils.create_parameter_loop_iteration_task_spec).
    """
    from kfp.compiler import pipeline_spec_builder

    task, store = pipeline_spec_pb2.PipelineTaskSpec(), loop["io_store"]
    task.CopyFrom(loop["task_spec"])
    for name, given in task.inputs.parameters.items():
        source = given.task_output_parameter
        if source.producer_task:
            value = store.get_task_output(source.producer_task, source.output_parameter_key)
            store.put_parent_input(name, value)
            given.runtime_value.constant.CopyFrom(pipeline_spec_builder.to_protobuf_value(value))
    return {**loop, "task_spec": task}


def stage_name(task: pipeline_spec_pb2.PipelineTaskSpec, store: Any) -> str:
    """Return what a task is called: of a loop's, with the name of its candidate, which compress alone leaves out."""
    name = task.task_info.name
    given = orchestrator_utils.OrchestratorUtils.make_task_arguments(task.inputs, store)
    candidate = next((given[key]["name"] for key in ("candidate", "compression") if given.get(key)), "")
    return f"{name}-{candidate}" if candidate and (name, candidate) != ("compress", ONLY_CANDIDATE) else name


def execution_stack(tasks: Mapping[str, pipeline_spec_pb2.PipelineTaskSpec]) -> list[str]:
    """Return the tasks' names in the order of execution, last one first.

    kfp.local's own order goes by protobuf's map, which differs from process to process. Here a task comes after all
    that are nearer to the start of the graph, and among equals by name; a loop, the longest, as late as it can.
    """
    depths: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in depths:
            depths[name] = 1 + max((depth(upstream) for upstream in tasks[name].dependent_tasks), default=-1)
            if tasks[name].WhichOneof("iterator"):
                # Behind all tasks that need none of it.
                depths[name] += len(tasks)
        return depths[name]

    return sorted(tasks, key=lambda name: (depth(name), tasks[name].task_info.name), reverse=True)


def check_runner(runner: str, spec: pipeline_spec_pb2.PipelineSpec) -> None:
    """Raise UserError where ``runner`` cannot execute the pipeline: Docker cannot be used, or an image not be had."""
    if runner == "docker":
        with contextlib.closing(containers.connect()) as client:
            containers.image_ids(client, executor_images(spec))
        return
    for image in executor_images(spec):
        environment_python(image)


def executor_images(spec: pipeline_spec_pb2.PipelineSpec) -> list[str]:
    """Return the images that a pipeline's stages run in."""
    executors = json_format.MessageToDict(spec)["deploymentSpec"]["executors"]
    return sorted({executor["container"]["image"] for executor in executors.values()})


def with_run_name(spec: pipeline_spec_pb2.PipelineSpec, name: str) -> pipeline_spec_pb2.PipelineSpec:
    """Return ``spec`` with the run's name where a task asks for it: kfp.local knows such placeholders in argv only.

    A run of this machine has no id.
    """
    known = {dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER: name, dsl.PIPELINE_JOB_ID_PLACEHOLDER: ""}
    named = pipeline_spec_pb2.PipelineSpec()
    named.CopyFrom(spec)
    for task in named.root.dag.tasks.values():
        for parameter in task.inputs.parameters.values():
            text = parameter.runtime_value.constant.string_value
            if text in known:
                parameter.runtime_value.constant.string_value = known[text]
    return named


def for_this_machine(spec: pipeline_spec_pb2.PipelineSpec,
                     code: Callable[[str, str], str]) -> pipeline_spec_pb2.PipelineSpec:
    """Return the pipeline with what stands for its code among each stage's variables, without what is a cluster's.

    kfp.local's cache key holds a container's variables, but knows nothing of the code behind its command. Retries are
    left out, since a person starts a failed run again; so are the inputs that the compiler adds for accelerators
    (``accelerator_count`` and such), which no component declares.

    Args:
        spec: The compiled pipeline.
        code: Gives the digest of a stage's code for its image and module.
    """
    document = json_format.MessageToDict(spec)
    for executor in document["deploymentSpec"]["executors"].values():
        container = executor["container"]
        container.pop("resources", None)
        command = container.get("command", [])
        if command[:2] == ["python", "-m"]:
            container.setdefault("env", []).append(
                {"name": CODE_VARIABLE, "value": code(container["image"], command[2])})
    dags = [document["root"], *(one for one in document["components"].values() if "dag" in one)]
    for task in (task for one in dags for task in one["dag"]["tasks"].values()):
        task.pop("retryPolicy", None)
        declared = document["components"][task["componentRef"]["name"]].get("inputDefinitions", {})
        given = task.get("inputs", {}).get("parameters", {})
        for name in given.keys() - declared.get("parameters", {}).keys():
            del given[name]
    return json_format.ParseDict(document, pipeline_spec_pb2.PipelineSpec())


def code_digests(root: Path) -> Callable[[str, str], str]:
    """Return a function that gives the digest of a module's code, and of its image's locks, in the folder ``root``."""
    digests = CodeDigests(root)

    def digest(image: str, module: str) -> str:
        locks = sorted((root / "images" / images.environments().get(image, "")).glob("requirements*.txt"))
        return digests.digest(f"{module}.__main__", extra=locks)

    return digest


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[Any]:
    """Put ``value`` in the place of an attribute and yield what was there."""
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield original
    finally:
        setattr(owner, name, original)


@contextlib.contextmanager
def _chatter_to(log: TextIO) -> Iterator[None]:
    """Send what kfp.local prints, logs and warns of to a file."""
    root = logging.getLogger()
    handler = logging.StreamHandler(log)
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
