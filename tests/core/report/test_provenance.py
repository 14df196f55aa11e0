from core.report.provenance import Fact, algorithm_names, provenance_facts


def test_every_digest_and_version_is_a_fact(measured):
    run = measured()
    run.parent["uri"] = "s3://models/parent.pth"
    groups = dict(provenance_facts(run.summary()))
    assert list(groups) == ["Inputs", "Digests", "Machine", "Versions", "Compression"]
    assert {fact.value for fact in groups["Digests"]} == {"da7a" * 16, "f9" * 32, "c9" * 32, "f0" * 32, "f1" * 32,
                                                          "c0" * 32, "c1" * 32, "c0f1" * 16}
    assert all(fact.digest for fact in groups["Digests"])
    assert {(fact.label, fact.value) for fact in groups["Versions"]} == {
        ("torch", "2.1.2"), ("mmdet", "2.28.2"), ("mmcv", "1.7.2"), ("nncf", "2.0.0"), ("openvino", "2024.6.0")}
    assert Fact("Given checkpoint", "s3://models/parent.pth") in groups["Inputs"]
    limits = "max_map_drop 0.01, max_class_drop 0.05, min_speedup 1.2, min_map 0.05"
    assert Fact("Limits", limits) in groups["Compression"]


def test_digests_are_shown_short():
    assert Fact("Data set", "da7a" * 16, digest=True).short == "da7ada7ada7a"
    assert Fact("nncf_config", "", digest=True).short == "none"


def test_algorithms_in_words(measured):
    run = measured()
    run.evaluations[1]["model"]["algorithms"] = ["filter_pruning", "quantization"]
    assert algorithm_names(run.summary()) == "filter pruning + quantization"
    run.evaluations[1]["model"]["algorithms"] = []
    assert algorithm_names(run.summary()) == "no compression"
