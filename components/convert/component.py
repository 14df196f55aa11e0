"""The convert stage as a container component."""

from kfp import dsl

from components import images


@dsl.container_component
def convert(
    onnx: dsl.Input[dsl.Model],
    ir: dsl.Output[dsl.Model],
    compress_to_fp16: bool,
):
    """Converts an ONNX model to OpenVINO IR.

    Args:
        onnx: Folder that export wrote.
        ir: Folder with model.xml, model.bin and spec.json.
        compress_to_fp16: Whether to store weights that are not 8-bit as FP16.
    """
    return dsl.ContainerSpec(
        image=images.OPENVINO,
        command=["python", "-m", "components.convert"],
        args=[
            "--onnx", onnx.path,
            "--ir", ir.path,
            "--compress-to-fp16", compress_to_fp16,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ])
