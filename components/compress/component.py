"""The compress stage as a container component."""

from kfp import dsl

from components import images


@dsl.container_component
def compress(
    data: dict,
    compression: dict,
    fp32_checkpoint: dsl.Input[dsl.Model],
    seed: int,
    min_initial_map_ratio: float,
    strict: bool,
    training_state: str,
    checkpoint_minutes: float,
    trust_config: bool,
    gpus: int,
    checkpoint: dsl.Output[dsl.Model],
    log: dsl.Output[dsl.Artifact],
):
    """Fine-tunes the detector with NNCF compression.

    Args:
        data: The resolved data set.
        compression: The resolved config with nncf_config; without it this is plain fine-tuning.
        fp32_checkpoint: The FP32 checkpoint to start from.
        seed: Seed of shuffling and augmentation.
        min_initial_map_ratio: Share of the FP32 model's mAP that must be left before the first training step; 0
            leaves it to the config.
        strict: Whether to stop where nncf_compress_postprocessing=True would fall back to False.
        training_state: Where the state of training is kept, so that an interrupted one goes on; empty keeps none.
        checkpoint_minutes: Minutes between two states within an epoch.
        trust_config: Whether a config that is more than data may run as Python.
        gpus: GPUs to work on, a process for each; 0 works on the CPU.
        checkpoint: The compressed checkpoint; algorithms, epochs, seconds and the last validation in its metadata.
        log: Training log in JSON lines.
    """
    return dsl.ContainerSpec(
        image=images.TRAIN,
        command=["python", "-m", "components.compress"],
        args=[
            "--data", data,
            "--compression", compression,
            "--fp32-checkpoint", fp32_checkpoint.path,
            "--seed", seed,
            "--min-initial-map-ratio", min_initial_map_ratio,
            "--strict", strict,
            "--training-state", training_state,
            "--checkpoint-minutes", checkpoint_minutes,
            "--trust-config", trust_config,
            "--gpus", gpus,
            "--checkpoint", checkpoint.path,
            "--log", log.path,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ])
