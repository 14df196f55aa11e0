"""The export stage as a container component."""

from kfp import dsl

from components import images


@dsl.container_component
def export(
    checkpoint: dsl.Input[dsl.Model],
    onnx: dsl.Output[dsl.Model],
):
    """Exports a checkpoint to ONNX, with FakeQuantize where it is quantized.

    Args:
        checkpoint: Plain or compressed checkpoint.
        onnx: Folder with model.onnx and spec.json.
    """
    return dsl.ContainerSpec(
        image=images.TRAIN,
        command=["python", "-m", "components.export"],
        args=[
            "--checkpoint", checkpoint.path,
            "--onnx", onnx.path,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ])
