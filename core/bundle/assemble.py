"""Put a bundle together: the models, the run's measurements, and what a person needs to run and to check it."""

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from core.base.digest import sha256_file
from core.base.errors import UserError
from core.bundle.check import check_bundle
from core.bundle.inference_service import inference_service, write_inference_service
from core.bundle.labels import write_labels
from core.bundle.manifest import MODEL_XML, SCHEMA, Manifest, content_digest, describe_files
from core.bundle.model_card import write_model_card
from core.bundle.model_info import add_model_info
from core.bundle.readme import README_FILE, REQUIREMENTS, REQUIREMENTS_FILE, readme
from core.bundle.runner_files import runner_files
from core.evaluation.golden import GOLDEN
from core.export.spec import ModelSpec
from core.openvino.ir import model_api
from core.openvino.runtime import INFERENCE_PRECISION
from core.results.summary import Summary

FP32 = "fp32"
SUMMARY_FILE = "summary.json"
REPORT_FILE = "report.html"
# Entry of model.xml's model_info: key of summary.json; what could not be measured has none.
_MEASURED = {"measured_map": "map_ir", "measured_map50": "map50_ir", "measured_map_fp32": "map_fp32"}


@dataclass(frozen=True)
class BundleSources:
    """What a run made.

    Args:
        compressed: Folder of the compressed IR.
        fp32: Folder of the FP32 IR.
        golden: Folder with the golden image, as the validate stage wrote it.
        summary: The run's summary.json.
        html: The run's report.
    """

    compressed: Path
    fp32: Path
    golden: Path
    summary: Path
    html: Path


def assemble(sources: BundleSources, folder: Path, model_name: str, run: str, run_id: str = "",
             location: str = "") -> Manifest:
    """Write a complete bundle into ``folder``, check it as its user would, and return its manifest.

    The compressed model lies at the top, where a model server looks for ``*.xml`` and ``*.bin``
    (https://docs.openvino.ai/2024/ovms_docs_models_repository.html). To model.xml nothing is added but the entries of
    ``core.bundle.model_info``.

    Args:
        folder: A new or empty folder.
        run: Name of the pipeline run that publishes.
        run_id: Its id, by which a cluster knows it; empty where there is none.
        location: Address of the model's folder, in which its versions lie; for the manifest that serves it.

    Raises:
        UserError: The summary is not of this model, a file is missing, or the bundle fails its own check.
    """
    summary = Summary.read(sources.summary)
    validated = sha256_file(sources.compressed / MODEL_XML)
    if summary.provenance.sha256.ir_xml != validated:
        raise UserError("summary", sources.summary, f"It measured another model than {sources.compressed}.",
                        "Publish the model and the summary of one run.")
    folder.mkdir(parents=True, exist_ok=True)
    for source, place in ((sources.compressed, "."), (sources.fp32, FP32), (sources.golden, GOLDEN)):
        shutil.copytree(source, folder / place, dirs_exist_ok=True)
    shutil.copyfile(sources.summary, folder / SUMMARY_FILE)
    shutil.copyfile(sources.html, folder / REPORT_FILE)
    entries = _model_info(summary, sha256_file(sources.summary), run, run_id)
    (folder / MODEL_XML).write_bytes(add_model_info((sources.compressed / MODEL_XML).read_bytes(), entries))
    spec = ModelSpec.read(folder)
    write_labels(folder, spec.classes)
    (folder / README_FILE).write_text(readme(model_name, spec, model_api(spec)), encoding="utf-8")
    (folder / REQUIREMENTS_FILE).write_text(REQUIREMENTS, encoding="utf-8")
    for name, content in runner_files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    service = inference_service(model_name, location, INFERENCE_PRECISION, validated)
    write_inference_service(folder, service)
    write_model_card(folder, model_name, spec, summary, service)
    files = describe_files(folder)
    manifest = Manifest(SCHEMA, model_name, content_digest(files, validated), validated, entries, model_api(spec),
                        summary.provenance.versions, files)
    manifest.write(folder)
    check_bundle(folder)
    return manifest


def _model_info(summary: Summary, summary_sha256: str, run: str, run_id: str) -> dict[str, str]:
    measured = {entry: str(summary.figures()[key]) for entry, key in _MEASURED.items()
                if math.isfinite(summary.figures()[key])}
    return {"source_run": run, **({"source_run_id": run_id} if run_id else {}), **measured,
            "data_sha256": summary.provenance.sha256.data, "summary_sha256": summary_sha256}
