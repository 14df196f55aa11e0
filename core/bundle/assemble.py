"""Put a bundle together: the models, the run's measurements, and what a person needs to run and to check it."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base.digest import sha256_file
from core.base.errors import UserError
from core.base.text import shown
from core.bundle.check import check_bundle
from core.bundle.golden import GOLDEN
from core.bundle.labels import write_labels
from core.bundle.manifest import MODEL_XML, SCHEMA, Manifest, content_digest, describe_files
from core.bundle.model_info import add_model_info
from core.bundle.readme import README_FILE, REQUIREMENTS, REQUIREMENTS_FILE, readme
from core.bundle.runner_files import runner_files
from core.export.spec import ModelSpec

FP32 = "fp32"
SUMMARY_FILE = "summary.json"
REPORT_FILE = "report.html"
# Entry of model.xml's model_info: key of summary.json; null, what cannot be measured, becomes None.
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


def assemble(sources: BundleSources, folder: Path, model_name: str, run: str) -> Manifest:
    """Write a complete bundle into ``folder``, check it as its user would, and return its manifest.

    The compressed model lies at the top, where a model server looks for ``*.xml`` and ``*.bin``
    (https://docs.openvino.ai/2024/ovms_docs_models_repository.html). To model.xml nothing is added but the entries of
    ``core.bundle.model_info``.

    Args:
        folder: A new or empty folder.
        run: Name of the pipeline run that publishes.

    Raises:
        UserError: The summary is not of this model, a file is missing, or the bundle fails its own check.
    """
    summary = _read_summary(sources.summary)
    validated = sha256_file(sources.compressed / MODEL_XML)
    if summary["ir_xml"] != validated:
        raise UserError("summary", sources.summary, f"It measured another model than {sources.compressed}.",
                        "Publish the model and the summary of one run.")
    folder.mkdir(parents=True, exist_ok=True)
    for source, place in ((sources.compressed, "."), (sources.fp32, FP32), (sources.golden, GOLDEN)):
        shutil.copytree(source, folder / place, dirs_exist_ok=True)
    shutil.copyfile(sources.summary, folder / SUMMARY_FILE)
    shutil.copyfile(sources.html, folder / REPORT_FILE)
    entries = _model_info(summary, sha256_file(sources.summary), run)
    (folder / MODEL_XML).write_bytes(add_model_info((sources.compressed / MODEL_XML).read_bytes(), entries))
    spec = ModelSpec.read(folder)
    write_labels(folder, spec.classes)
    (folder / README_FILE).write_text(readme(model_name, spec), encoding="utf-8")
    (folder / REQUIREMENTS_FILE).write_text(REQUIREMENTS, encoding="utf-8")
    for name, content in runner_files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    files = describe_files(folder)
    versions = {name: str(version) for name, version in summary["versions"].items()}
    manifest = Manifest(SCHEMA, model_name, content_digest(files, validated), validated, entries, versions, files)
    manifest.write(folder)
    check_bundle(folder)
    return manifest


def _read_summary(path: Path) -> dict[str, Any]:
    """Return the keys of a summary.json that a bundle repeats; the report's own room reads all of it."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        digests = record["provenance"]["sha256"]
        return {"ir_xml": digests["ir_xml"], "data": digests["data"], "versions": record["provenance"]["versions"],
                **{key: record[key] for key in _MEASURED.values()}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError("summary", path, f"It cannot be read, or lacks a key ({type(error).__name__}: {shown(error)}).",
                        "Give the summary.json that this version's report stage wrote.") from error


def _model_info(summary: dict[str, Any], summary_sha256: str, run: str) -> dict[str, str]:
    measured = {entry: str(summary[key]) for entry, key in _MEASURED.items()}
    return {"source_run": run, **measured, "data_sha256": summary["data"], "summary_sha256": summary_sha256}
