"""The export stage as a container component."""

from kfp import dsl

from components import images


@dsl.container_component
def export(
    checkpoint: dsl.Input[dsl.Model],
    onnx: dsl.Output[dsl.Model],
    dynamic_shape: bool,
    raw_heads: bool = False,
):
    """Exports a checkpoint to ONNX, with FakeQuantize where it is quantized.

    Args:
        checkpoint: Plain or compressed checkpoint.
        onnx: Folder with model.onnx and spec.json.
        dynamic_shape: Whether the input's height and width may differ from image to image.
        raw_heads: Whether to end at the heads' outputs, without boxes and suppression.
    """
    return dsl.ContainerSpec(
        image=images.TRAIN,
        command=["python", "-m", "components.export"],
        args=[
            "--checkpoint", checkpoint.path,
            "--onnx", onnx.path,
            "--dynamic-shape", dynamic_shape,
            "--raw-heads", raw_heads,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ])
