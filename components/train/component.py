"""The train stage as a container component."""

from kfp import dsl

from components import images


@dsl.container_component
def train(
    data: dict,
    model: dict,
    parent: dict,
    seed: int,
    training_state: str,
    checkpoint_minutes: float,
    trust_config: bool,
    gpus: int,
    checkpoint: dsl.Output[dsl.Model],
    log: dsl.Output[dsl.Artifact],
):
    """Trains the FP32 detector, or passes a given checkpoint through.

    Args:
        data: The resolved data set.
        model: The resolved model config.
        parent: The resolved checkpoint to take instead of training; an empty uri trains.
        seed: Seed of weights, shuffling and augmentation.
        training_state: Where the state of training is kept, so that an interrupted one goes on; empty keeps none.
        checkpoint_minutes: Minutes between two states within an epoch.
        trust_config: Whether a config that is more than data may run as Python.
        gpus: GPUs to work on, a process for each; 0 works on the CPU.
        checkpoint: The FP32 checkpoint; epochs, seconds and the last validation in its metadata.
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
            "--training-state", training_state,
            "--checkpoint-minutes", checkpoint_minutes,
            "--trust-config", trust_config,
            "--gpus", gpus,
            "--checkpoint", checkpoint.path,
            "--log", log.path,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ])
