"""The evaluate stage as a container component."""

from kfp import dsl

from components import images


@dsl.container_component
def evaluate(
    data: dict,
    checkpoint: dsl.Input[dsl.Model],
    gpus: int,
    evaluation: dsl.Output[dsl.Artifact],
    detections: dsl.Output[dsl.Artifact],
):
    """Scores a checkpoint with PyTorch on the test split.

    Args:
        data: The resolved data set.
        checkpoint: Plain or compressed checkpoint.
        gpus: GPUs to work on, a process for each; 0 works on the CPU.
        evaluation: Metrics, corrupt images and what was measured, in JSON.
        detections: What was found in each image, for validate to compare with.
    """
    return dsl.ContainerSpec(
        image=images.TRAIN,
        command=["python", "-m", "components.evaluate"],
        args=[
            "--data", data,
            "--checkpoint", checkpoint.path,
            "--gpus", gpus,
            "--evaluation", evaluation.path,
            "--detections", detections.path,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ])
