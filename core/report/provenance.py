"""The provenance of a run as labelled facts for people."""

from dataclasses import dataclass

from core.report.summary import Summary

SHORT_DIGEST = 12
_DIGESTS = {"data": "Data set", "parent_checkpoint": "FP32 checkpoint",
            "compressed_checkpoint": "Compressed checkpoint",
            "ir_fp32_xml": "FP32 IR, model.xml", "ir_fp32_bin": "FP32 IR, model.bin",
            "ir_xml": "Compressed IR, model.xml", "ir_bin": "Compressed IR, model.bin", "nncf_config": "nncf_config"}


@dataclass(frozen=True)
class Fact:
    """One line of the provenance; a digest is shown short."""

    label: str
    value: str
    digest: bool = False

    @property
    def short(self) -> str:
        return self.value[:SHORT_DIGEST] or "none"


def algorithm_names(summary: Summary) -> str:
    """Return the compression algorithms in words: ``quantization + filter pruning``."""
    names = [str(name).replace("_", " ") for name in summary.provenance["compression"]["algorithms"]]
    return " + ".join(names) or "no compression"


def provenance_facts(summary: Summary) -> list[tuple[str, list[Fact]]]:
    """Return the provenance in groups, each a heading and its facts."""
    source = summary.provenance
    data, configs, cpu = source["data"], source["configs"], source["cpu"]
    split = f"{data['test_split']}, {data['test_images']:,} images, {data['classes']} classes ({data['format']})"
    return [
        ("Inputs", [Fact("Data", data["uri"]),
                    Fact("Test split", split),
                    Fact("Given checkpoint", source["parent"]["uri"]),
                    Fact("Model config", configs["model"]), Fact("Compression config", configs["compression"])]),
        ("Digests", [Fact(label, source["sha256"][key], digest=True) for key, label in _DIGESTS.items()]),
        ("Machine", [Fact("CPU", f"{cpu['name']}, {cpu['cores']} cores"),
                     Fact("Instruction set", cpu["instruction_set"])]),
        ("Versions", [Fact(name, version) for name, version in sorted(source["versions"].items())]),
        ("Compression", [Fact("FakeQuantize nodes, IR", str(source["compression"]["fake_quantize_nodes"])),
                         Fact("Limits", f"max_map_drop {source['thresholds']['max_map_drop']:g}, "
                                        f"max_class_drop {source['thresholds']['max_class_drop']:g}, "
                                        f"min_speedup {source['thresholds']['min_speedup']:g}")]),
    ]
