"""The train stage as a container component."""

from kfp import dsl

from components import images


@dsl.container_component
def train(
    data: dict,
    model: dict,
    parent: dict,
    seed: int,
    checkpoint: dsl.Output[dsl.Model],
    log: dsl.Output[dsl.Artifact],
):
    """Trains the FP32 detector, or passes a given checkpoint through.

    Args:
        data: The resolved data set.
        model: The resolved model config.
        parent: The resolved checkpoint to take instead of training; an empty uri trains.
        seed: Seed of weights, shuffling and augmentation.
        checkpoint: The FP32 checkpoint.
        log: Training log in JSON lines.
    """
    return dsl.ContainerSpec(
        image=images.TRAIN,
        command=["python", "-m", "components.train"],
        args=[
            "--data", data,
            "--model", model,
            "--parent", parent,
            "--seed", seed,
            "--checkpoint", checkpoint.path,
            "--log", log.path,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ])
