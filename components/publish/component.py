"""The publish stage as a container component."""

from kfp import dsl

from components import images


@dsl.container_component
def publish(
    ir_compressed: dsl.Input[dsl.Model],
    ir_fp32: dsl.Input[dsl.Model],
    summary: dsl.Input[dsl.Artifact],
    html: dsl.Input[dsl.HTML],
    validation: dsl.Input[dsl.Artifact],
    run: str,
    destination: str,
    model_name: str,
    version: int,
    location: dsl.OutputPath(str),
):
    """Puts the bundle together, checks it and copies it to its destination, whole or not at all.

    Args:
        ir_compressed: IR of the compressed model.
        ir_fp32: IR of the FP32 model.
        summary: The run's summary.
        html: The run's report.
        validation: Folder that validate wrote; its golden image goes into the bundle.
        run: Name of the run, for the model's metadata.
        destination: Folder or S3 location of published models; empty publishes nothing.
        model_name: Name of the model's folder there.
        version: Version to publish as, refused where it holds other content; 0 takes the next one.
        location: Where the bundle lies; empty when nothing was published.
    """
    return dsl.ContainerSpec(
        image=images.OPENVINO,
        command=["python", "-m", "components.publish"],
        args=[
            "--ir-compressed", ir_compressed.path,
            "--ir-fp32", ir_fp32.path,
            "--summary", summary.path,
            "--html", html.path,
            "--validation", validation.path,
            "--run", run,
            "--destination", destination,
            "--model-name", model_name,
            "--version", version,
            "--location", location,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ])
