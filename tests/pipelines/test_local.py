import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
TOY_DOCKER = Path(__file__).parent / "toy_docker"


@pytest.fixture(name="shown")
def fixture_shown(capsys):
    """Return a function that gives the console's lines since its last call, times and folders made equal."""
    def read():
        out = re.sub(r"\d+:\d\d", "0:00", capsys.readouterr().out)
        return re.sub(r"\S*/runs/compress-[-\d]+", "RUN", out).splitlines()

    return read


STAGES = ["[1/3] train ...", "train done in 0:00", "[2/3] report ...", "report done in 0:00", "[3/3] gate ...",
          "gate done in 0:00"]


def stage_lines(lines):
    return [line for line in lines if re.match(r"\[\d/\d\] |\w+ (done|FAILED|unchanged)", line)]


def test_a_run_shows_each_stage_and_ends_with_table_and_places(toy, shown):
    assert toy.run() == 0
    lines = shown()
    assert lines[:9] == ["run RUN", "[1/3] train ...", "train | training on hello", "train | a warning",
                         "train done in 0:00", "[2/3] report ...", "report done in 0:00", "[3/3] gate ...",
                         "gate done in 0:00"]
    assert any(line.startswith("mAP, OpenVINO") for line in lines)
    assert lines[-2:] == ["report: RUN/report.html", "logs: RUN/logs"]


def test_results_lie_in_the_runs_folder(toy):
    toy.run("-p", "text=weights", "--name", "toy")
    (run,) = toy.runs
    assert run.name.startswith("toy-")
    assert (toy.work_dir / "latest").resolve() == run
    assert sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()) == [
        "checkpoints/fp32.pth/part/weights.txt", "logs/gate.log", "logs/kfp.log", "logs/report.log", "logs/train.jsonl",
        "logs/train.log", "params.yaml", "report.html", "report.md", "summary.json"]
    assert (run / "report.html").read_text() == "weights"
    assert (run / "logs/train.log").read_text() == "training on weights\na warning\n"
    assert (run / "params.yaml").read_text() == f"number: 3\nswitch: {toy.switch}\ntext: weights\nverdict: pass\n"
    # The dict parameter went through KFP; a struct holds every number as a float.
    assert json.loads((run / "report.md").read_text()) == {"half": 0.5, "number": 3.0, "text": "weights"}


def test_metadata_reaches_the_artifact(toy):
    toy.run()
    (output,) = toy.work_dir.glob(".pipeline/toy-*/train/executor_output.json")
    checkpoint = json.loads(output.read_text())["artifacts"]["checkpoint"]["artifacts"]
    assert checkpoint == [{"name": "checkpoint", "uri": str(output.parent / "checkpoint"),
                           "metadata": {"length": 5, "loss": "nan"}}]


def test_what_has_not_changed_is_not_run_again(toy, shown):
    toy.run()
    shown()
    assert toy.run() == 0
    assert stage_lines(shown()) == ["[1/3] train unchanged, taken from an earlier run",
                                    "[2/3] report unchanged, taken from an earlier run", *STAGES[4:]]
    assert (toy.runs[-1] / "report.html").read_text() == "hello"


@pytest.mark.parametrize("changed", [
    "components/train/__main__.py", "components/__init__.py", "images/train/requirements.txt"])
def test_changed_code_or_environment_runs_its_stages_again(toy, shown, changed):
    toy.run()
    shown()
    with open(toy.root / changed, "a") as file:
        file.write("\n# changed\n")
    toy.run()
    assert stage_lines(shown()) == STAGES


def test_change_elsewhere_runs_nothing_before_it_again(toy, shown):
    toy.run()
    shown()
    with open(toy.root / "components" / "report" / "__main__.py", "a") as file:
        file.write("\n# changed\n")
    toy.run()
    assert stage_lines(shown()) == ["[1/3] train unchanged, taken from an earlier run", *STAGES[2:]]


def test_changed_parameter_runs_its_stages_again(toy, shown):
    toy.run()
    shown()
    toy.run("-p", "number=4")
    assert stage_lines(shown()) == STAGES


def test_without_cache_everything_runs_and_is_what_later_runs_take(toy, shown):
    toy.run()
    shown()
    toy.run("--no-cache")
    assert stage_lines(shown()) == STAGES
    forced = sorted(toy.work_dir.glob(".pipeline/toy-*/train"))[-1]
    toy.run()
    assert stage_lines(shown())[0] == "[1/3] train unchanged, taken from an earlier run"
    entries = [path.read_text() for path in toy.work_dir.glob(".pipeline/cache/*.json")]
    assert any(str(forced) in entry for entry in entries)


def test_lost_artifact_is_made_again(toy, shown):
    toy.run()
    shown()
    (log,) = toy.work_dir.glob(".pipeline/toy-*/train/log")
    log.unlink()
    toy.run()
    assert stage_lines(shown())[:2] == STAGES[:2]


def test_failed_run_keeps_what_finished_and_goes_on_where_it_failed(toy, shown):
    summary = toy.switch.read_text()
    toy.switch.write_text("fail")
    assert toy.run() == 1
    lines = shown()
    assert stage_lines(lines) == [*STAGES[:3], "report FAILED (exit 2), see RUN/logs/report.log"]
    assert "report | report: switch: fail. It must not. Fix it." in lines
    assert lines[-1] == "report failed. Finished stages are kept: start again, and the run resumes there."
    (run,) = toy.runs
    assert (run / "checkpoints/fp32.pth/part/weights.txt").exists()
    assert not (run / "summary.json").exists()
    assert (toy.work_dir / "latest").resolve() == run

    toy.switch.write_text(summary)
    assert toy.run() == 0
    assert stage_lines(shown()) == ["[1/3] train unchanged, taken from an earlier run", *STAGES[2:]]


def test_failed_gate_fails_the_run_and_leaves_the_report(toy, shown):
    assert toy.run("-p", "verdict=fail") == 1
    lines = shown()
    assert stage_lines(lines)[-1] == "gate FAILED (exit 1), see RUN/logs/gate.log"
    assert lines[-1] == "The compressed model did not pass the gate; nothing was published."
    assert (toy.runs[0] / "report.html").exists() and (toy.runs[0] / "summary.json").exists()


def test_docker_runner_without_the_docker_package_is_a_user_error(toy, capsys, monkeypatch):
    from pipelines import containers

    find = containers.importlib.util.find_spec
    monkeypatch.setattr(containers.importlib.util, "find_spec", lambda name: None if name == "docker" else find(name))
    assert toy.run("--runner", "docker") == 2
    assert "the Python package 'docker' is missing" in capsys.readouterr().err


def test_docker_that_does_not_answer_is_a_user_error(toy, capsys, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert toy.run("--runner", "docker") == 2
    assert "A Docker Engine must answer. Start Docker" in capsys.readouterr().err
    assert not toy.work_dir.exists()


def test_kfp_local_is_left_as_it_was(toy):
    import logging

    from kfp.local import config, subprocess_task_handler
    from kfp.local.orchestrator import task_executor

    before = (task_executor.execute_single_task, subprocess_task_handler.SubprocessTaskHandler,
              config.LocalExecutionConfig.instance, logging.getLogger().handlers[:], logging.getLogger().level)
    toy.run()
    assert before == (task_executor.execute_single_task, subprocess_task_handler.SubprocessTaskHandler,
                      config.LocalExecutionConfig.instance, logging.getLogger().handlers[:],
                      logging.getLogger().level)


def test_stages_come_in_one_order_each_after_what_it_needs():
    from pipelines.compress import define_pipeline
    from pipelines.local import execution_stack

    spec = define_pipeline().pipeline_spec
    for tasks, order in (
            (spec.root.dag.tasks, ["resolve", "train", "evaluate-fp32", "export-fp32", "convert-fp32", "for-loop-1",
                                   "validate", "report", "gate", "publish"]),
            (spec.components["comp-for-loop-1"].dag.tasks, ["compress", "evaluate", "export", "convert"])):
        assert [tasks[name].task_info.name for name in reversed(execution_stack(tasks))] == order


def test_what_only_a_cluster_can_do_is_left_out_here():
    from pipelines.graph import define_pipeline
    from pipelines.local import code_digests, for_this_machine

    spec = for_this_machine(define_pipeline().pipeline_spec, code_digests(PROJECT))
    for name, task in (*spec.root.dag.tasks.items(), *spec.components["comp-for-loop-1"].dag.tasks.items()):
        declared = spec.components[task.component_ref.name].input_definitions.parameters
        assert task.inputs.parameters.keys() <= declared.keys(), name
        assert not task.HasField("retry_policy"), name


def test_the_run_s_name_reaches_the_task_that_asks_for_it():
    from kfp import dsl

    from pipelines.compress import define_pipeline
    from pipelines.local import with_run_name

    spec = define_pipeline().pipeline_spec
    asked = {name: task for name, task in spec.root.dag.tasks.items()
             if "run" in task.inputs.parameters}
    assert list(asked) == ["publish"]
    def constants(of):
        inputs = of.root.dag.tasks["publish"].inputs.parameters
        return {name: inputs[name].runtime_value.constant.string_value for name in ("run", "run_id")}

    assert constants(with_run_name(spec, "digits-1")) == {"run": "digits-1", "run_id": ""}
    # Not the job's name: of a run that a schedule starts it is empty (v2_template.go:108 and 336 of KFP 2.17.0).
    assert constants(spec) == {"run": dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER,
                               "run_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER}


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def is_dead(pid):
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(pid)


def process_of_stage(run):
    """Read on to the line in which the stage tells its process."""
    return next(line.split()[-1] for line in run.stdout if line.startswith("report | process "))


def started(command, **environment):
    return subprocess.Popen(command, cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("sent", "code", "said"), [
    (signal.SIGINT, 130, "compress: interrupted. "), (signal.SIGTERM, 143, "compress: terminated by SIGTERM. ")])
@pytest.mark.parametrize("state", ["hang", "stuck"])
def test_interrupted_run_ends_its_stage_and_goes_on_later(toy, shown, state, sent, code, said):
    summary = toy.switch.read_text()
    toy.switch.write_text(state)
    with started(toy.command()) as process:
        pid = process_of_stage(process)
        # It says its process before it is stuck, and holds the GIL from then on.
        time.sleep(0.5 if state == "stuck" else 0)
        process.send_signal(sent)
        output, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert error.startswith(said) and error.count("\n") == 1
    assert "report | report: terminated by SIGTERM" in output
    # On a busy machine one that hangs may need longer, too.
    assert state == "hang" or "did not end within 3 s and was killed" in output
    assert is_dead(pid)
    assert (toy.runs[0] / "checkpoints/fp32.pth/part/weights.txt").exists()

    toy.switch.write_text(summary)
    assert toy.run() == 0
    assert stage_lines(shown()) == ["[1/3] train unchanged, taken from an earlier run", *STAGES[2:]]


@pytest.mark.parametrize("killed", ["command", "worker"])
def test_a_killed_run_takes_its_stage_with_it(toy, shown, killed):
    summary = toy.switch.read_text()
    toy.switch.write_text("stuck")
    with started(toy.command()) as process:
        stage = process_of_stage(process)
        lock = toy.work_dir / ".pipeline" / "lock"
        # The run's worker writes its own number into the lock.
        os.kill(process.pid if killed == "command" else int(lock.read_text()), signal.SIGKILL)
        assert is_dead(stage)
    assert process.returncode == (-signal.SIGKILL if killed == "command" else 137)
    toy.switch.write_text(summary)
    assert toy.run() == 0
    assert stage_lines(shown())[0] == "[1/3] train unchanged, taken from an earlier run"


def test_a_stage_holds_the_work_dir_with_its_run(toy, capsys):
    toy.switch.write_text("hang")
    with started(toy.command()) as process:
        stage = process_of_stage(process)
        held = [os.readlink(file) for file in Path(f"/proc/{stage}/fd").iterdir()]
        assert str(toy.work_dir / ".pipeline" / "lock") in held
        assert toy.run() == 2
        process.terminate()
    assert "Another run (process " in capsys.readouterr().err


@pytest.fixture(name="toy_docker")
def fixture_toy_docker(toy, tmp_path, docker_environment):
    """Return a function that runs the toy pipeline in what stands in for containers."""
    def run(*options):
        done = subprocess.run(toy.command("--runner", "docker", *options), cwd=PROJECT, env=docker_environment,
                              check=False, capture_output=True, text=True)
        events = [json.loads(line) for line in (tmp_path / "asked").read_text().splitlines()]
        asked = [event for event in events if "image" in event]
        assert len(events) == 2 * len(asked), "a container was not removed"
        return done, re.sub(r"\d:\d\d", "0:00", done.stdout).splitlines(), asked

    return run


@pytest.fixture(name="docker_environment")
def fixture_docker_environment(toy, tmp_path):
    """Return the variables of a run in what stands in for containers."""
    (toy.root / "configs").mkdir()
    machine = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**machine, "PYTHONPATH": os.pathsep.join([str(PROJECT), str(TOY_DOCKER)]), "TOY_ROOT": str(toy.root),
            "TOY_ASKED": str(tmp_path / "asked"), "MMDET_COMPRESS_CACHE": str(tmp_path / "cache"),
            "HOME": str(tmp_path)}


def test_a_container_ends_with_the_killed_run_that_started_it(toy, docker_environment):
    toy.switch.write_text("stuck")
    with started(toy.command("--runner", "docker"), **docker_environment) as process:
        stage = process_of_stage(process)
        process.kill()
        assert is_dead(stage)


def test_containers_that_a_killed_run_has_left_are_removed_first(toy, toy_docker, docker_environment):
    label = f"mmdet-compress.pipeline-root={toy.work_dir / '.pipeline'}"
    with subprocess.Popen(["sleep", "600"]) as mine, subprocess.Popen(["sleep", "600"]) as another:
        docker_environment["TOY_LEFT_OVER"] = f"{mine.pid} {label}\n{another.pid} {label}-2"
        done, lines, _ = toy_docker()
        assert done.returncode == 0 and "1 containers of an earlier run that was killed were removed" in lines
        assert mine.wait(10) and another.poll() is None
        another.kill()


def test_docker_runner_runs_containers_and_streams_their_output(toy, toy_docker, tmp_path):
    done, lines, asked = toy_docker("--train-image", "registry.local/train@sha256:1")
    assert (done.returncode, done.stderr) == (0, "")
    assert stage_lines(lines) == STAGES
    assert "train | training on hello" in lines
    assert asked[0] == {
        "image": "registry.local/train@sha256:1", "user": f"{os.getuid()}:{os.getgid()}",
        "volumes": sorted([str(toy.work_dir / ".pipeline"), str(tmp_path / "cache"), str(toy.root / "configs")]),
        "variables": ["MMDET_COMPRESS_CACHE", "MMDET_COMPRESS_CODE", "MMDET_COMPRESS_LIFELINE"]}
    assert [each["image"] for each in asked[1:]] == ["mmdet-compress/openvino:0.1.0"] * 2
    assert (toy.runs[0] / "checkpoints/fp32.pth/part/weights.txt").read_text() == "hello"


def test_container_that_fails_fails_the_run(toy, toy_docker):
    toy.switch.write_text("fail")
    done, lines, _ = toy_docker()
    assert (done.returncode, done.stderr) == (1, "")
    assert re.fullmatch(r"report FAILED \(exit 2\), see \S+/logs/report.log", stage_lines(lines)[3])
    assert "report | report: switch: fail. It must not. Fix it." in lines


def test_another_image_runs_its_stages_again(toy, toy_docker):
    toy_docker()
    _, lines, asked = toy_docker("--openvino-image", "registry.local/openvino@sha256:2")
    assert stage_lines(lines) == ["[1/3] train unchanged, taken from an earlier run", *STAGES[2:]]
    assert len(asked) == 5
