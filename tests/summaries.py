"""A summary.json for tests that need one and no measurements."""

from typing import Any

from core.results.summary import (
    FIGURES,
    CompressionFacts,
    ConfigFacts,
    CpuFacts,
    DataFacts,
    Digests,
    ModelNames,
    ParentFacts,
    Provenance,
    SpeedFacts,
    Summary,
    Thresholds,
)


def summary_record(digests: dict[str, str] | None = None, **figures: Any) -> dict[str, Any]:
    """Return the JSON of a summary that passes, with some figures and digests changed."""
    values = {**dict.fromkeys(FIGURES, 0.5), "map_drop": 0.001, "worst_class_drop": 0.002, "corrupt_images": 0.0,
              "speedup": 2.0, **figures}
    provenance = Provenance(
        models=ModelNames(baseline="FP32", candidate="compressed"),
        sha256=Digests(**{**dict.fromkeys(Digests.model_fields, "da7a" * 16), **(digests or {})}),
        versions={"openvino": "2024.6.0", "nncf": "2.0.0"}, cpu=CpuFacts(name="cpu", instruction_set="AVX2", cores=2),
        data=DataFacts(uri="/data", format="coco", classes=10, test_split="test", test_images=9),
        parent=ParentFacts(uri="", digest=""), thresholds=Thresholds(),
        configs=ConfigFacts(model="m.py", model_digest="1" * 64, compression="c.py", compression_digest="2" * 64),
        compression=CompressionFacts(algorithms=("quantization",), fake_quantize_nodes=81))
    speed = SpeedFacts(source="wall", bound=2.1, share=0.952, int8_gain=2.1)
    return Summary(version=3, verdict="pass", worst_class="8", speed=speed, provenance=provenance, **values).to_json()
