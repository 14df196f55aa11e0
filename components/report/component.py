"""The report stage as a container component."""

from kfp import dsl

from components import images


@dsl.container_component
def report(
    data: dict,
    model: dict,
    compression: dict,
    parent: dict,
    log_fp32: dsl.Input[dsl.Artifact],
    log_compressed: dsl.Input[dsl.Artifact],
    evaluation_fp32: dsl.Input[dsl.Artifact],
    evaluation_compressed: dsl.Input[dsl.Artifact],
    validation: dsl.Input[dsl.Artifact],
    max_map_drop: float,
    max_class_drop: float,
    min_speedup: float,
    summary: dsl.Output[dsl.Artifact],
    html: dsl.Output[dsl.HTML],
    markdown: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
    confusion: dsl.Output[dsl.ClassificationMetrics],
):
    """Puts all measurements together into a summary and two reports.

    Args:
        data: The resolved data set.
        model: The resolved model config.
        compression: The resolved compression config.
        parent: The resolved checkpoint that was given, if any.
        log_fp32: Training log of train.
        log_compressed: Training log of compress.
        evaluation_fp32: PyTorch evaluation of the FP32 checkpoint.
        evaluation_compressed: PyTorch evaluation of the compressed checkpoint.
        validation: OpenVINO validation of both IRs.
        max_map_drop: Largest accepted loss of mAP, FP32 PyTorch to compressed IR, absolute.
        max_class_drop: Largest accepted loss of AP of any one class, likewise.
        min_speedup: Smallest accepted ratio of frames per second, compressed IR to FP32 IR.
        summary: Stable keys and provenance in JSON.
        html: Self-contained report.
        markdown: The verdict on one page.
        metrics: The summary's numbers.
        confusion: Confusion matrix of the compressed IR at IoU 0.5.
    """
    return dsl.ContainerSpec(
        image=images.OPENVINO,
        command=["python", "-m", "components.report"],
        args=[
            "--data", data,
            "--model", model,
            "--compression", compression,
            "--parent", parent,
            "--log-fp32", log_fp32.path,
            "--log-compressed", log_compressed.path,
            "--evaluation-fp32", evaluation_fp32.path,
            "--evaluation-compressed", evaluation_compressed.path,
            "--validation", validation.path,
            "--max-map-drop", max_map_drop,
            "--max-class-drop", max_class_drop,
            "--min-speedup", min_speedup,
            "--summary", summary.path,
            "--html", html.path,
            "--markdown", markdown.path,
            "--metrics", metrics.path,
            "--confusion", confusion.path,
            "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
        ])
