"""The command line of pipelines/compress.py around a toy pipeline: python toy_run.py ROOT [OPTION ...]."""

import sys
from pathlib import Path


def define_pipeline():
    from kfp import dsl

    from components import images

    executor_input = ["--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER]

    @dsl.container_component
    def train(text: str, number: int, checkpoint: dsl.Output[dsl.Model], log: dsl.Output[dsl.Artifact],
              info: dsl.OutputPath(dict)):
        return dsl.ContainerSpec(
            image=images.TRAIN, command=["python", "-m", "components.train"],
            args=["--text", text, "--number", number, "--checkpoint", checkpoint.path, "--log", log.path,
                  "--info", info, *executor_input])

    @dsl.container_component
    def report(checkpoint: dsl.Input[dsl.Model], info: dict, switch: str, summary: dsl.Output[dsl.Artifact],
               html: dsl.Output[dsl.HTML], markdown: dsl.Output[dsl.Markdown]):
        return dsl.ContainerSpec(
            image=images.OPENVINO, command=["python", "-m", "components.report"],
            args=["--checkpoint", checkpoint.path, "--info", info, "--switch", switch, "--summary", summary.path,
                  "--html", html.path, "--markdown", markdown.path, *executor_input])

    @dsl.container_component
    def gate(summary: dsl.Input[dsl.Artifact], verdict: str):
        return dsl.ContainerSpec(
            image=images.OPENVINO, command=["python", "-m", "components.gate"],
            args=["--summary", summary.path, "--verdict", verdict, *executor_input])

    @dsl.pipeline(name="toy")
    def toy(switch: str, text: str = "hello", number: int = 3, verdict: str = "pass"):
        trained = train(text=text, number=number)
        reported = report(checkpoint=trained.outputs["checkpoint"], info=trained.outputs["info"], switch=switch)
        reported.set_display_name("report")
        gate(summary=reported.outputs["summary"], verdict=verdict).set_caching_options(False)

    return toy


def main(root, argv):
    from pipelines import compress

    compress.ROOT, compress.define_pipeline = Path(root), define_pipeline
    return compress.main(argv)


if __name__ == "__main__":
    from core.base.supervision import run_command

    sys.exit(run_command("compress", lambda: main(sys.argv[1], sys.argv[2:])))
