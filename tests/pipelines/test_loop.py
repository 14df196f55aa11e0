"""A graph with a loop on this machine: its items come from a task, its outputs are collected."""

import json
import re

import pytest


def define_pipeline():
    from kfp import dsl

    from components import images

    executor_input = ["--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER]

    def container(stage, *arguments):
        return dsl.ContainerSpec(image=images.TRAIN, command=["python", "-m", f"components.{stage}"],
                                 args=[*arguments, *executor_input])

    @dsl.container_component
    def listing(names: list, candidates: dsl.OutputPath(list[dict]), info: dsl.OutputPath(dict)):
        return container("listing", "--names", names, "--candidates", candidates, "--info", info)

    @dsl.container_component
    def train(text: str, number: int, checkpoint: dsl.Output[dsl.Model], log: dsl.Output[dsl.Artifact],
              info: dsl.OutputPath(dict)):
        return container("train", "--text", text, "--number", number, "--checkpoint", checkpoint.path,
                         "--log", log.path, "--info", info)

    @dsl.container_component
    def inner(candidate: dict, info: dict, checkpoint: dsl.Input[dsl.Model], switch: str,
              made: dsl.Output[dsl.Artifact], digest: dsl.OutputPath(str)):
        return container("inner", "--candidate", candidate, "--info", info, "--checkpoint", checkpoint.path,
                         "--switch", switch, "--made", made.path, "--digest", digest)

    @dsl.container_component
    def collect(made: dsl.Input[list[dsl.Artifact]], digests: list, html: dsl.Output[dsl.HTML]):
        return container("collect", "--digests", digests, "--html", html.path)

    @dsl.pipeline(name="toy")
    def toy(switch: str, names: list = ["a", "b", "c"]):  # noqa: B006
        listed = listing(names=names).set_display_name("resolve")
        trained = train(text="weights", number=1)
        with dsl.ParallelFor(items=listed.outputs["candidates"], parallelism=2) as candidate:
            found = inner(candidate=candidate, info=listed.outputs["info"], checkpoint=trained.outputs["checkpoint"],
                          switch=switch)
        collect(made=dsl.Collected(found.outputs["made"]), digests=dsl.Collected(found.outputs["digest"])
                ).set_display_name("report")

    return toy


@pytest.fixture(name="run")
def fixture_run(toy, monkeypatch, capsys):
    """Return a function that runs the loop with what the switch says, and gives exit code, stages and report."""
    from pipelines import compress, results

    monkeypatch.setattr(compress, "ROOT", toy.root)
    monkeypatch.setattr(compress, "define_pipeline", define_pipeline)
    monkeypatch.setattr(results, "RESULTS", (("report", "html", "report.html"),))

    def run(switch="", *options):
        toy.switch.write_text(switch)
        code = compress.main([*toy.options, *options])
        lines = re.sub(r"\d+:\d\d", "0:00", capsys.readouterr().out).splitlines()
        stages = [line for line in lines if re.match(r"\[\d|\S+ FAILED", line)]
        report = toy.runs[-1] / "report.html"
        return code, stages, json.loads(report.read_text()) if report.exists() else None

    return run


def test_every_item_is_made_with_what_earlier_tasks_gave_and_all_are_collected(run):
    code, stages, report = run()
    assert code == 0
    assert report == {"made": {name: f"of {name}, by all, weights" for name in "abc"},
                      "digests": [f"digest of {name}" for name in "abc"]}
    assert [line.partition(" ")[2] for line in stages] == [
        "resolve ...", "train ...", "inner-a ...", "inner-b ...", "inner-c ...", "report ..."]
    assert stages[-1].startswith("[6/6]")


def test_a_killed_iteration_fails_the_run_at_once_and_later_what_is_finished_is_taken(run):
    code, stages, report = run("b")
    assert (code, report) == (1, None)
    assert stages[-1].startswith("inner-b FAILED (exit ") and not any("inner-c" in line for line in stages)
    code, stages, report = run("")
    assert code == 0 and list(report["made"]) == ["a", "b", "c"]
    assert [line.partition("] ")[2] for line in stages] == [
        *(f"{name} unchanged, taken from an earlier run" for name in ("resolve", "train", "inner-a")),
        "inner-b ...", "inner-c ...", "report ..."]


def test_another_item_runs_by_itself_and_what_collects_it(run):
    run("", "-p", "names=a,b")
    _, stages, report = run("", "-p", "names=a,b,c")
    assert list(report["made"]) == ["a", "b", "c"]
    assert [line.partition("] ")[2] for line in stages if "unchanged" not in line] == [
        "resolve ...", "inner-c ...", "report ..."]


def test_kfp_local_s_loop_is_left_as_it_was(run):
    from kfp.local.orchestrator import enhanced_dag_orchestrator

    before = enhanced_dag_orchestrator.ParallelExecutor, enhanced_dag_orchestrator._run_parallel_for_task
    run()
    assert before == (enhanced_dag_orchestrator.ParallelExecutor, enhanced_dag_orchestrator._run_parallel_for_task)
