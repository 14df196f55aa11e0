"""The validate stage as a container component."""

from kfp import dsl

from components import images


@dsl.container_component
def validate(
    data: dict,
    ir_fp32: dsl.Input[dsl.Model],
    ir_compressed: dsl.Input[dsl.Model],
    detections_fp32: dsl.Input[dsl.Artifact],
    detections_compressed: dsl.Input[dsl.Artifact],
    onnx_fp32: dsl.Input[dsl.Model],
    onnx_compressed: dsl.Input[dsl.Model],
    validation: dsl.Output[dsl.Artifact],
):
    """Measures accuracy and speed of both IRs in OpenVINO; judges nothing.

    Args:
        data: The resolved data set.
        ir_fp32: IR of the FP32 model.
        ir_compressed: IR of the compressed model.
        detections_fp32: What evaluate found with the FP32 checkpoint.
        detections_compressed: What evaluate found with the compressed checkpoint.
        onnx_fp32: ONNX of the FP32 model.
        onnx_compressed: ONNX of the compressed model.
        validation: Folder with metrics.json and pictures.
    """
    return dsl.ContainerSpec(
        image=images.OPENVINO,
        command=["python", "-m", "components.validate"],
        args=[
            "--data", data,
            "--ir-fp32", ir_fp32.path,
            "--ir-compressed", ir_compressed.path,
            "--detections-fp32", detections_fp32.path,
            "--detections-compressed", detections_compressed.path,
            "--onnx-fp32", onnx_fp32.path,
            "--onnx-compressed", onnx_compressed.path,
            "--validation", validation.path,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ])
