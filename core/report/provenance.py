"""The provenance of a candidate as labelled facts for people."""

from dataclasses import dataclass

from core.base.text import counted
from core.results.summary import Summary

SHORT_DIGEST = 12


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
    return " + ".join(name.replace("_", " ") for name in summary.provenance.compression.algorithms) or "no compression"


def provenance_facts(summary: Summary) -> list[tuple[str, list[Fact]]]:
    """Return the provenance in groups, each a heading and its facts."""
    source = summary.provenance
    data, configs, cpu, sha256 = source.data, source.configs, source.cpu, source.sha256
    baseline, candidate = source.models.baseline, source.models.candidate
    split = (f"{data.test_split}, {counted(data.test_images, 'image')}, {counted(data.classes, 'class', 'classes')} "
             f"({data.format})")
    limits = ", ".join(f"{name} {value:g}" for name, value in source.thresholds)
    digests = {"Data set": sha256.data, f"{baseline} checkpoint": sha256.parent_checkpoint,
               f"{candidate} checkpoint": sha256.candidate_checkpoint,
               f"{baseline} IR, model.xml": sha256.baseline_ir_xml, f"{baseline} IR, model.bin": sha256.baseline_ir_bin,
               f"{candidate} IR, model.xml": sha256.ir_xml, f"{candidate} IR, model.bin": sha256.ir_bin,
               "nncf_config": sha256.nncf_config}
    return [
        ("Inputs", [Fact("Data", data.uri), Fact("Test split", split), Fact("Given checkpoint", source.parent.uri),
                    Fact("Model config", configs.model), Fact("Compression config", configs.compression)]),
        ("Digests", [Fact(label, digest, digest=True) for label, digest in digests.items()]),
        ("Machine", [Fact("CPU", f"{cpu.name}, {counted(cpu.cores, 'core')}"),
                     Fact("Instruction set", cpu.instruction_set)]),
        ("Versions", [Fact(name, version) for name, version in sorted(source.versions.items())]),
        ("Compression", [Fact("FakeQuantize nodes, IR", str(source.compression.fake_quantize_nodes)),
                         Fact("Limits", limits)]),
    ]
