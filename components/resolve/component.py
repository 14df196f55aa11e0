"""The resolve stage as a container component."""

from kfp import dsl

from components import images


@dsl.container_component
def resolve(
    model_config: str,
    compression_config: str,
    model_options: dict,
    compression_options: dict,
    data: str,
    data_format: str,
    classes: list,
    train_split: str,
    val_split: str,
    test_split: str,
    checkpoint: str,
    weights: str,
    max_map_drop: float,
    max_class_drop: float,
    min_speedup: float,
    destination: str,
    model_name: str,
    model_version: int,
    preflight: bool,
    min_initial_map_ratio: float,
    dynamic_shape: bool,
    gpus: int,
    strict: bool,
    training_state: str,
    checkpoint_minutes: float,
    trust_config: bool,
    resolved_data: dsl.OutputPath(dict),
    resolved_model: dsl.OutputPath(dict),
    resolved_compression: dsl.OutputPath(dict),
    resolved_parent: dsl.OutputPath(dict),
    gpu_count: dsl.OutputPath(str),
):
    """Checks every parameter of the run and gives every input a digest.

    Args:
        model_config: MMDetection config of the FP32 detector.
        compression_config: Config that adds nncf_config to it.
        model_options: Overrides of the model config, dotted key to value.
        compression_options: Overrides of the compression config, dotted key to value.
        data: Location of the data set.
        data_format: auto, coco or voc.
        classes: Class names in label order; empty takes them from the data.
        train_split: Name of the training split, or auto.
        val_split: Name of the validation split, or auto.
        test_split: Name of the test split, or auto.
        checkpoint: FP32 checkpoint to start from; empty trains one.
        weights: Folder or bucket with the files of weights that a config names by a URL or a model zoo's name.
        max_map_drop: Limit of the gate, checked here so that a bad one is known at once.
        max_class_drop: Limit of the gate, checked here likewise.
        min_speedup: Limit of the gate, checked here likewise.
        destination: Folder to publish to, checked here likewise.
        model_name: Name to publish under, checked here likewise.
        model_version: Version to publish as, checked here likewise.
        preflight: Whether to try the whole compression on synthetic images first.
        min_initial_map_ratio: Limit of the compress stage, checked here likewise.
        dynamic_shape: Whether the export stages are to allow images of any size, checked here likewise.
        gpus: GPUs of a training stage, checked here likewise.
        strict: Whether the preflight fails where nncf_compress_postprocessing=True would fall back to False.
        training_state: Where the state of training is kept, checked here likewise.
        checkpoint_minutes: Minutes between two states, checked here likewise.
        trust_config: Whether a config that is more than data may run as Python.
        resolved_data: The data set with its digest.
        resolved_model: The model config with its digest.
        resolved_compression: The compression config with its digest.
        resolved_parent: The given checkpoint with its digest, or empty strings.
        gpu_count: ``gpus`` as text, the only form in which the backend takes an accelerator count from a parameter.
    """
    return dsl.ContainerSpec(
        image=images.TRAIN,
        command=["python", "-m", "components.resolve"],
        args=[
            "--model-config", model_config,
            "--compression-config", compression_config,
            "--model-options", model_options,
            "--compression-options", compression_options,
            "--data", data,
            "--data-format", data_format,
            "--classes", classes,
            "--train-split", train_split,
            "--val-split", val_split,
            "--test-split", test_split,
            "--checkpoint", checkpoint,
            "--weights", weights,
            "--max-map-drop", max_map_drop,
            "--max-class-drop", max_class_drop,
            "--min-speedup", min_speedup,
            "--destination", destination,
            "--model-name", model_name,
            "--model-version", model_version,
            "--preflight", preflight,
            "--min-initial-map-ratio", min_initial_map_ratio,
            "--dynamic-shape", dynamic_shape,
            "--gpus", gpus,
            "--strict", strict,
            "--training-state", training_state,
            "--checkpoint-minutes", checkpoint_minutes,
            "--trust-config", trust_config,
            "--resolved-data", resolved_data,
            "--resolved-model", resolved_model,
            "--resolved-compression", resolved_compression,
            "--resolved-parent", resolved_parent,
            "--gpu-count", gpu_count,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ])
