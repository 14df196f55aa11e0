"""The compression pipeline as a graph of its stages."""

from typing import Any

from components.compress.stage import STAGE as COMPRESS
from components.convert.stage import STAGE as CONVERT
from components.evaluate.stage import STAGE as EVALUATE
from components.export.stage import STAGE as EXPORT
from components.gate.stage import STAGE as GATE
from components.publish.stage import STAGE as PUBLISH
from components.report.stage import STAGE as REPORT
from components.resolve.stage import STAGE as RESOLVE
from components.stage import Stage
from components.train.stage import STAGE as TRAIN
from components.validate.stage import STAGE as VALIDATE

# Candidates that are made at the same time, each with GPUs of its own.
PARALLEL = 4
STAGES: tuple[Stage, ...] = (RESOLVE, TRAIN, COMPRESS, EVALUATE, EXPORT, CONVERT, VALIDATE, REPORT, GATE, PUBLISH)


def define_pipeline() -> Any:
    """Return the pipeline as a KFP component."""
    from kfp import dsl

    from pipelines.component import container_component
    from pipelines.resources import Placement, apply_resources

    resolve, train, compress_stage, evaluate, export, convert, validate, report, gate, publish = map(
        container_component, STAGES)

    @dsl.pipeline(name="compress")
    def compress(
        # First what a run of one's own needs, then what shapes it, last where it runs.
        model_config: str = "configs/detectors/retinanet_r18_small_digits.py",
        compression_config: str = "configs/nncf_compression/retinanet_r18_small/digits_int8.py",
        data: str = "builtin://digits",
        destination: str = "",
        model_name: str = "detector",
        model_version: int = 0,
        checkpoint: str = "",
        weights: str = "",
        compression_configs: list = [],  # noqa: B006 - KFP reads the default, nobody changes it
        candidates: list = [],  # noqa: B006
        objective: str = "throughput",
        price_per_hour: float = 0.0,
        max_map_drop: float = 0.01,
        max_class_drop: float = 0.05,
        min_speedup: float = 1.0,
        min_map: float = 0.05,
        gpus: int = 0,
        data_format: str = "auto",
        classes: list = [],  # noqa: B006
        train_split: str = "auto",
        val_split: str = "auto",
        test_split: str = "auto",
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        split_seed: int = 0,
        model_options: dict = {},  # noqa: B006
        compression_options: dict = {},  # noqa: B006
        fine_tune: str = "",
        max_candidates: int = 0,
        seed: int = 0,
        preflight: bool = False,
        min_initial_map_ratio: float = 0.0,
        strict: bool = False,
        training_state: str = "",
        checkpoint_minutes: float = 10.0,
        trust_config: bool = False,
        dynamic_shape: bool = False,
        compress_to_fp16: bool = False,
        sensitivity: bool = False,
        accelerator: str = "nvidia.com/gpu",
        gpu_node_selector: dict = {},  # noqa: B006
        gpu_tolerations: list = [],  # noqa: B006
        cpu_node_selector: dict = {},  # noqa: B006
        cpu_tolerations: list = [],  # noqa: B006
        s3_secret: str = "mmdet-compress-s3",
        image_pull_secret: str = "mmdet-compress-registry",
        train_cpu: str = "3",
        train_memory: str = "11Gi",
        eval_cpu: str = "3",
        eval_memory: str = "8Gi",
        export_cpu: str = "2",
        export_memory: str = "8Gi",
        measure_cpu: str = "3",
        measure_memory: str = "8Gi",
    ):
        """Compresses an MMDetection detector with NNCF and proves that the OpenVINO model is still good.

        Args:
            model_config: MMDetection config of the FP32 detector.
            compression_config: Config that adds nncf_config to it; counts where neither compression_configs nor
                candidates are given.
            data: Data set: a COCO or Pascal VOC folder or archive, here or at s3://bucket/prefix, or builtin://digits;
                empty takes the model config's own.
            destination: Folder or s3://bucket/prefix to publish the bundle to; empty publishes nothing.
            model_name: Name of the published model.
            model_version: Version to publish as, refused where it holds other content; 0 takes the next one.
            checkpoint: FP32 checkpoint to start from, a file or an object on S3; empty trains one.
            weights: Folder or s3://bucket/prefix with the files of pretrained weights that a config names by a URL or
                by a model zoo's name, such as torchvision://resnet50; nothing is downloaded from the internet.
            compression_configs: Several such configs; each is a candidate, and the best one is published.
            candidates: Candidates that come ready for every detector: post_training, int8, pruned_20, pruned_40,
                pruned_60, int8_pruned_20, int8_pruned_40, int8_pruned_60, int8_mixed, or auto for all of them.
            objective: What the best candidate within the limits is the best in: throughput, latency or size.
            price_per_hour: Price of an hour of a GPU, or of the CPU without one, to show what each candidate cost
                beside its hours; 0 shows hours alone.
            max_map_drop: Largest accepted loss of mAP, FP32 PyTorch to compressed IR, absolute.
            max_class_drop: Largest accepted loss of AP of any one class, likewise; 1 asks nothing.
            min_speedup: Smallest accepted ratio of frames per second, compressed IR to FP32 IR.
            min_map: Smallest accepted mAP of FP32 PyTorch and of the compressed IR; 0 asks nothing.
            gpus: GPUs of each training and evaluating stage, 0 to 8; 0 works on the CPU.
            data_format: Format of the data set: auto, coco or voc.
            classes: Class names in label order; empty takes them from the data.
            train_split: Split to train on, or auto.
            val_split: Split to follow training with, or auto.
            test_split: Split that every measurement is made on, or auto.
            val_fraction: Part of the images to follow training with, for data without val and test splits.
            test_fraction: Part of the images to measure on, likewise.
            split_seed: Seed that chooses these images.
            model_options: Overrides of the model config, dotted key to value.
            compression_options: Overrides of every candidate's config, dotted key to value.
            fine_tune: always, when_needed (8 bits are not where val is within max_map_drop without it, and training
                ends where it gains no more) or never; empty is when_needed with candidates=auto, else always.
            max_candidates: How many candidates auto takes, the most useful first; 0 takes all.
            seed: Seed of weights, shuffling and augmentation.
            preflight: Whether to try the whole compression on random weights and synthetic images first.
            min_initial_map_ratio: Share of the FP32 model's mAP that must be left right after compression is
                initialised, before the first training step; 0 asks nothing.
            strict: Whether to stop, in preflight and compression, where a detector's post-processing cannot be part of
                NNCF's graph, instead of falling back to nncf_compress_postprocessing=False with a warning.
            training_state: Where the state of training is kept, s3://bucket/prefix or a folder, so that a new run
                resumes an interrupted training; empty keeps none on a cluster, and locally uses the work folder.
            checkpoint_minutes: Minutes between two states within an epoch; one is kept after every epoch anyway.
            trust_config: Whether a config that is more than data may run as Python; only for configs you wrote.
            dynamic_shape: Whether the exported models take images of any size, where the detector allows it.
            compress_to_fp16: Whether to store the compressed model's weights that are not 8-bit as FP16; the FP32
                model it is compared with stays as it is.
            sensitivity: Whether to measure what compressing each part of the model costs, in some minutes more.
            accelerator: Resource name of the GPUs on the cluster.
            gpu_node_selector: Labels of the nodes for train, compress and evaluate.
            gpu_tolerations: Taints that these stages tolerate besides nvidia.com/gpu, as Kubernetes tolerations.
            cpu_node_selector: Labels of the nodes for all other stages.
            cpu_tolerations: Taints that the other stages tolerate.
            s3_secret: Name of the Kubernetes secret with the access to object storage; it may be absent.
            image_pull_secret: Name of the Kubernetes secret of the image registry; it may be absent.
            train_cpu: CPUs kept for each pod of train and compress; defaults fit a node of 4 CPUs, 16 GiB and a GPU.
            train_memory: Memory of each of these pods; more is not given.
            eval_cpu: CPUs kept for each pod of evaluate.
            eval_memory: Memory of each of these pods.
            export_cpu: CPUs kept for each pod of export and convert.
            export_memory: Memory of each of these pods.
            measure_cpu: CPUs of validate, which throughput is measured on; another number gives another throughput.
            measure_memory: Memory of validate.
        """
        sizes = {"train_cpu": train_cpu, "train_memory": train_memory, "eval_cpu": eval_cpu, "eval_memory": eval_memory,
                 "export_cpu": export_cpu, "export_memory": export_memory, "measure_cpu": measure_cpu,
                 "measure_memory": measure_memory}
        nodes = {"accelerator": accelerator, "gpu_node_selector": gpu_node_selector, "gpu_tolerations": gpu_tolerations,
                 "cpu_node_selector": cpu_node_selector, "cpu_tolerations": cpu_tolerations, "s3_secret": s3_secret,
                 "image_pull_secret": image_pull_secret}
        resolved = resolve(
            model_config=model_config, compression_config=compression_config,
            compression_configs=compression_configs, candidates=candidates, max_candidates=max_candidates,
            fine_tune=fine_tune, objective=objective, price_per_hour=price_per_hour, model_options=model_options,
            compression_options=compression_options, data=data, data_format=data_format, classes=classes,
            train_split=train_split, val_split=val_split, test_split=test_split, val_fraction=val_fraction,
            test_fraction=test_fraction, split_seed=split_seed, checkpoint=checkpoint, weights=weights,
            max_map_drop=max_map_drop, max_class_drop=max_class_drop, min_speedup=min_speedup, min_map=min_map,
            destination=destination, model_name=model_name, model_version=model_version, preflight=preflight,
            min_initial_map_ratio=min_initial_map_ratio, dynamic_shape=dynamic_shape, strict=strict, gpus=gpus,
            training_state=training_state, checkpoint_minutes=checkpoint_minutes, trust_config=trust_config, **sizes,
            **nodes)
        data_ref, model_ref = resolved.outputs["resolved_data"], resolved.outputs["resolved_model"]
        parent_ref = resolved.outputs["resolved_parent"]

        trained = train(data=data_ref, model=model_ref, parent=parent_ref, seed=seed, training_state=training_state,
                        checkpoint_minutes=checkpoint_minutes, trust_config=trust_config, gpus=gpus)
        baseline = [evaluate(data=data_ref, checkpoint=trained.outputs["checkpoint"], gpus=gpus),
                    export(checkpoint=trained.outputs["checkpoint"], dynamic_shape=dynamic_shape)]
        baseline.append(convert(onnx=baseline[1].outputs["onnx"], compress_to_fp16=False))

        with dsl.ParallelFor(items=resolved.outputs["resolved_candidates"], parallelism=PARALLEL) as candidate:
            compressed = compress_stage(data=data_ref, compression=candidate,
                                        fp32_checkpoint=trained.outputs["checkpoint"], seed=seed,
                                        min_initial_map_ratio=min_initial_map_ratio, strict=strict,
                                        training_state=training_state, checkpoint_minutes=checkpoint_minutes,
                                        trust_config=trust_config, gpus=gpus)
            evaluated = evaluate(data=data_ref, checkpoint=compressed.outputs["checkpoint"], candidate=candidate,
                                 gpus=gpus)
            exported = export(checkpoint=compressed.outputs["checkpoint"], candidate=candidate,
                              dynamic_shape=dynamic_shape)
            converted = convert(onnx=exported.outputs["onnx"], candidate=candidate, compress_to_fp16=compress_to_fp16,
                                data=data_ref, mixed_map_drop=max_map_drop)
        for task, name in zip((*baseline, evaluated, exported, converted), ("evaluate", "export", "convert") * 2):
            task.set_display_name(f"{name}-fp32" if task in baseline else name)

        validated = validate(
            data=data_ref, ir_fp32=baseline[2].outputs["ir"], detections_fp32=baseline[0].outputs["detections"],
            onnx_fp32=baseline[1].outputs["onnx"], ir_candidates=dsl.Collected(converted.outputs["ir"]),
            detections_candidates=dsl.Collected(evaluated.outputs["detections"]),
            onnx_candidates=dsl.Collected(exported.outputs["onnx"]),
            digests=dsl.Collected(compressed.outputs["digest"]), sensitivity=sensitivity)
        reported = report(
            data=data_ref, model=model_ref, parent=parent_ref, log_fp32=trained.outputs["log"],
            log_candidates=dsl.Collected(compressed.outputs["log"]),
            making_candidates=dsl.Collected(compressed.outputs["making"]),
            evaluation_fp32=baseline[0].outputs["evaluation"],
            evaluation_candidates=dsl.Collected(evaluated.outputs["evaluation"]),
            validation=validated.outputs["validation"],
            digests=dsl.Collected(compressed.outputs["digest"]), objective=objective, price_per_hour=price_per_hour,
            max_map_drop=max_map_drop, max_class_drop=max_class_drop, min_speedup=min_speedup, min_map=min_map)
        judged = gate(summary=reported.outputs["summary"], max_map_drop=max_map_drop, max_class_drop=max_class_drop,
                      min_speedup=min_speedup, min_map=min_map)
        published = publish(
            ir_candidates=dsl.Collected(converted.outputs["ir"]), ir_fp32=baseline[2].outputs["ir"],
            summary=reported.outputs["summary"], html=reported.outputs["html"],
            validation=validated.outputs["validation"], run=dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER,
            run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, destination=destination, model_name=model_name,
            version=model_version)
        published.after(judged)

        placement = Placement(gpu_count=resolved.outputs["gpu_count"], sizes=sizes, **nodes)
        tasks = (resolved, trained, *baseline, compressed, evaluated, exported, converted, validated, reported, judged,
                 published)
        for task in tasks:
            apply_resources(task, task.component_spec.name, placement)

    return compress
