"""The validate stage as a container component."""

from kfp import dsl

from components import images


@dsl.container_component
def validate(
    data: dict,
    ir_fp32: dsl.Input[dsl.Model],
    ir_compressed: dsl.Input[dsl.Model],
    validation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
):
    """Measures accuracy and speed of both IRs in OpenVINO; judges nothing.

    Args:
        data: The resolved data set.
        ir_fp32: IR of the FP32 model.
        ir_compressed: IR of the compressed model.
        validation: Folder with validation.json and sample images.
        metrics: mAP, speed and size of both.
    """
    return dsl.ContainerSpec(
        image=images.OPENVINO,
        command=["python", "-m", "components.validate"],
        args=[
            "--data", data,
            "--ir-fp32", ir_fp32.path,
            "--ir-compressed", ir_compressed.path,
            "--validation", validation.path,
            "--metrics", metrics.path,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ])
