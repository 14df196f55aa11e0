"""The publish stage."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from components.stage import Stage, collected_artifact, input_artifact, parameter, result
from core.base.errors import UserError
from core.base.executor_output import ExecutorOutput


@dataclass(frozen=True, kw_only=True)
class Publication:
    """Where a bundle is published."""

    destination: str = parameter("Folder of published models, or s3://bucket/prefix; empty publishes nothing.", "",
                                 metavar="LOCATION")
    model_name: str = parameter("Name of the model's folder there.", "detector", metavar="NAME")


@dataclass(frozen=True, kw_only=True)
class Publish:
    """Puts the bundle together, checks it and copies it to its destination, whole or not at all."""

    ir_candidates: dict[str, Path] = collected_artifact(
        "Model", "IRs of the candidates; the one that the summary is of is published.", folder=True)
    ir_fp32: Path = input_artifact("Model", "IR of the FP32 model.", folder=True)
    summary: Path = input_artifact("Artifact", "The run's summary.")
    html: Path = input_artifact("HTML", "The run's report.")
    validation: Path = input_artifact(
        "Artifact", "Folder that validate wrote; its golden image goes into the bundle.", folder=True)
    run: str = parameter("Name of the run, for the model's metadata; on a cluster that of its workflow.", "by hand",
                         metavar="NAME")
    run_id: str = parameter("Id of the run, likewise; empty where it has none.", "", metavar="ID")
    publication: Publication
    version: int = parameter(
        "Version to publish as, refused where it holds other content; 0 takes the next one.", 0)
    location: Path = result(str, "Where the bundle lies; empty when nothing was published.")


def publish(stage: Publish, output: ExecutorOutput) -> None:
    """Assemble and publish the bundle and write its location; without a destination write an empty one."""
    from core.base.outputs import write_text
    from core.bundle.assemble import BundleSources, assemble
    from core.bundle.publish import publish as publish_bundle
    from core.evaluation.golden import GOLDEN
    from core.results.summary import Summary

    destination, model_name = stage.publication.destination, stage.publication.model_name
    if not destination:
        print("nothing published: no destination is given", flush=True)
        write_text(stage.location, "")
        return
    name = Summary.read(stage.summary).provenance.models.candidate
    if name not in stage.ir_candidates:
        raise UserError("summary", f"is of {name}", f"IRs are given of {', '.join(stage.ir_candidates) or 'none'}.",
                        "Give the IR that the summary is of, as NAME=FOLDER.")
    golden = stage.validation / f"{GOLDEN}-{name}"
    sources = BundleSources(stage.ir_candidates[name], stage.ir_fp32,
                            golden if golden.is_dir() else stage.validation / GOLDEN, stage.summary, stage.html)
    with tempfile.TemporaryDirectory(prefix="mmdet-compress-bundle-") as folder:
        assemble(sources, Path(folder), model_name, stage.run, stage.run_id,
                 f"{destination.rstrip('/')}/{model_name}")
        publication = publish_bundle(Path(folder), destination, model_name, stage.version or None)
    print(f"published version {publication.version}: {publication.location}" if publication.created else
          f"already published as version {publication.version}: {publication.location}", flush=True)
    write_text(stage.location, str(publication.location))


STAGE = Stage("publish", "openvino", Publish, publish)
