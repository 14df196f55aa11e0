"""The convert stage as a container component."""

from kfp import dsl

from components import images


@dsl.container_component
def convert(
    onnx: dsl.Input[dsl.Model],
    ir: dsl.Output[dsl.Model],
):
    """Converts an ONNX model to OpenVINO IR.

    Args:
        onnx: Folder that export wrote.
        ir: Folder with model.xml, model.bin and spec.json.
    """
    return dsl.ContainerSpec(
        image=images.OPENVINO,
        command=["python", "-m", "components.convert"],
        args=[
            "--onnx", onnx.path,
            "--ir", ir.path,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ])
