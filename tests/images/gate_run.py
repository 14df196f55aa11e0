"""The command line of pipelines/compress.py around the gate alone: python gate_run.py [OPTION ...]."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def define_pipeline():
    from kfp import dsl

    from components import images

    @dsl.container_component
    def gate(folder: str, max_map_drop: float):
        return dsl.ContainerSpec(
            image=images.OPENVINO, command=["python", "-m", "components.gate"],
            args=["--summary", f"{folder}/summary.json", "--max-map-drop", max_map_drop,
                  "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER])

    # The destination is a folder that containers may write, and so one that they see.
    @dsl.pipeline(name="gate-alone")
    def gate_alone(destination: str, max_map_drop: float):
        gate(folder=destination, max_map_drop=max_map_drop).set_caching_options(False)

    return gate_alone


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    from pipelines import compress

    compress.define_pipeline = define_pipeline
    sys.exit(compress.main(sys.argv[1:]))
