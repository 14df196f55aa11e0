"""The gate stage as a container component."""

from kfp import dsl

from components import images


@dsl.container_component
def gate(
    summary: dsl.Input[dsl.Artifact],
    max_map_drop: float,
    max_class_drop: float,
    min_speedup: float,
):
    """Fails the run where the compressed model lost too much or gained too little.

    Args:
        summary: The summary that report wrote.
        max_map_drop: Largest accepted loss of mAP, FP32 PyTorch to compressed IR, absolute.
        max_class_drop: Largest accepted loss of AP of any one class, likewise.
        min_speedup: Smallest accepted ratio of frames per second, compressed IR to FP32 IR.
    """
    return dsl.ContainerSpec(
        image=images.OPENVINO,
        command=["python", "-m", "components.gate"],
        args=[
            "--summary", summary.path,
            "--max-map-drop", max_map_drop,
            "--max-class-drop", max_class_drop,
            "--min-speedup", min_speedup,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ])
