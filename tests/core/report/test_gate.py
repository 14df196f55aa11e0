import math

import pytest

from core.base.errors import UserError
from core.report.gate import judge as judge_summary
from core.results.summary import FIGURES, Summary, Thresholds

LIMITS = Thresholds(max_map_drop=0.01, min_speedup=1.5)


@pytest.fixture
def judge(measured):
    """Return a judge of a good candidate's figures, some of them changed."""
    record = measured().summary().to_json()

    def run(limits=LIMITS, map_drop=0.005, **changed):
        figures = {"map_fp32": 0.42, "map_ir": 0.42 - (map_drop or 0), "map_drop": map_drop, "worst_class_drop": 0.02,
                   "speedup": 2.0, "worst_class": ""}
        speed = {**record["speed"], **(changed.pop("speed", {}))}
        return judge_summary(Summary.from_json({**record, **figures, **changed, "speed": speed}), limits)

    return run


def failed(verdict):
    return [check.name for check in verdict.checks if not check.passed]


def test_a_good_model_passes_and_every_check_names_both_numbers(judge):
    verdict = judge(worst_class="Platelets")
    assert verdict.passed and verdict.reasons == []
    assert [check.sentence for check in verdict.checks] == [
        "mAP 0.4150 meets the minimum 0.0500 (FP32 0.4200, compressed IR 0.4150)",
        "mAP drop 0.0050 is within the limit 0.0100 (FP32 0.4200, compressed IR 0.4150)",
        "largest AP drop of a class 0.0200 (Platelets) is within the limit 0.0500",
        "speed-up 2.00x meets the minimum 1.50x; 0.93 of the 2.51x that this CPU allows"]


@pytest.mark.parametrize("speed, said", [
    ({"bound": 1.03, "share": 0.97, "int8_gain": 1.01}, "this CPU gains nothing from int8: prune, or deploy on a CPU "
     "with VNNI"),
    ({"bound": 1.4, "share": 0.9, "int8_gain": 1.4}, "the CPU is the limit"),
    ({"source": "cpu"}, "CPU time"), ({"bound": None, "share": None, "int8_gain": None}, "below the minimum")])
def test_a_speedup_says_what_it_rests_on(judge, speed, said):
    (sentence,) = judge(speedup=1.2, speed=speed).reasons
    assert said in sentence and ("nothing from int8" in sentence) == ("nothing from int8" in said)


@pytest.mark.parametrize("limit, speed, made, cpu, said", [
    # A CPU that gains nothing from int8 measured its layers slower than the whole model was.
    (1.5, {"bound": 0.95, "share": 1.07, "int8_gain": 0.95}, ["quantization"], "AVX2",
     "speed-up 1.02x is below the minimum 1.50x; more than the 0.95x that its layers alone gain on this CPU; this CPU "
     "gains nothing from int8: prune, or deploy on a CPU with VNNI"),
    (1.5, {"bound": 1.2, "share": 0.85, "int8_gain": 0.99}, ["filter_pruning", "quantization"], "AVX2",
     "0.85 of the 1.20x that this CPU allows; this CPU gains nothing from int8: prune more, or deploy on a CPU with "
     "VNNI"),
    (1.5, {"bound": 1.0, "share": 1.02, "int8_gain": 1.0}, ["quantization"], "AVX512_VNNI", "or deploy on another CPU"),
    (1.5, {"bound": 1.3, "share": 0.78, "int8_gain": 1.3}, ["quantization"], "AVX2",
     "the CPU is the limit: prune, or deploy on one that gains more from int8"),
    (1.5, {"bound": 1.3, "share": 0.78, "int8_gain": 1.3}, ["filter_pruning"], "AVX2",
     "the CPU is the limit: prune more, or quantize it, too"),
    (1.5, {"bound": 1.3, "share": 0.78, "int8_gain": 1.0}, ["filter_pruning"], "AVX2",
     "the CPU is the limit: prune more"),
    # Above its bound and its limit: nothing is in its way.
    (1.0, {"bound": 0.99, "share": 1.03, "int8_gain": 1.3}, ["quantization"], "AVX2",
     "speed-up 1.02x meets the minimum 1.00x; more than the 0.99x that its layers alone gain on this CPU")])
def test_the_advice_fits_what_was_done_and_the_cpu(judge, measured, limit, speed, made, cpu, said):
    provenance = measured().summary().to_json()["provenance"]
    provenance["compression"] = {"algorithms": made, "fake_quantize_nodes": 81 * ("quantization" in made)}
    provenance["cpu"]["instruction_set"] = cpu
    verdict = judge(Thresholds(min_speedup=limit), speedup=1.02, speed=speed, provenance=provenance)
    assert verdict.checks[-1].sentence.endswith(said)


def test_a_pruned_model_is_not_told_of_int8(judge, measured):
    record = measured().summary().to_json()
    record["provenance"]["compression"]["fake_quantize_nodes"] = 0
    (sentence,) = judge(speedup=1.2, provenance=record["provenance"], speed={"int8_gain": 1.0}).reasons
    assert "int8" not in sentence


@pytest.mark.parametrize("changed, name, numbers", [
    ({"map_drop": 0.0123}, "map_drop", ("0.0123", "0.0100", "0.4200", "0.4077")),
    ({"speedup": 1.2}, "speedup", ("1.20x", "1.50x")),
    ({"map_drop": 0.0, "worst_class_drop": 0.0512, "worst_class": "WBC"}, "class_drop", ("0.0512", "WBC", "0.0500")),
    ({"corrupt_images": 3.0}, "corrupt_images", ("3",)),
    ({"map_fp32": 0.0, "map_ir": 0.0, "map_drop": 0.0}, "min_map", ("0.0000", "0.0500")),
    ({"map_fp32": 0.049, "map_ir": 0.06, "map_drop": -0.011}, "min_map", ("0.0490", "0.0500")),
    ({"map_fp32": 0.052, "map_ir": 0.046, "map_drop": 0.006}, "min_map", ("0.0460", "0.0500"))])
def test_a_failure_names_its_numbers(judge, changed, name, numbers):
    verdict = judge(**changed)
    assert failed(verdict) == [name] and all(number in verdict.reasons[0] for number in numbers)


def test_a_limit_can_be_switched_off(judge):
    assert judge(worst_class_drop=0.05).passed
    assert judge(Thresholds(max_class_drop=1), worst_class_drop=1.0).passed
    assert judge(Thresholds(min_map=0), map_fp32=0.0, map_ir=0.0, map_drop=0.0).passed


def test_both_failures_are_named(judge):
    assert failed(judge(speedup=0.9, map_drop=0.5, map_ir=0.1)) == ["map_drop", "speedup"]


@pytest.mark.parametrize("drop", [0.01, 0.42 - 0.41, 0.01 + 5e-10, -0.2])
def test_exactly_at_the_limit_passes(judge, drop):
    assert judge(map_drop=drop, speedup=1.5 - 5e-10).passed


@pytest.mark.parametrize("changed", [{"map_drop": 0.01 + 1e-8}, {"speedup": 1.5 - 1e-8}])
def test_just_beyond_the_limit_fails_and_shows_that_the_numbers_differ(judge, changed):
    reason, = judge(**changed).reasons
    assert ("0.01000001" in reason and "0.01000000" in reason) or ("1.49999999x" in reason and "1.50000000x" in reason)


def test_a_tiny_gain_is_not_written_as_minus_zero(judge):
    assert "mAP drop 0.0000 " in judge(map_drop=-1e-7).checks[1].sentence


@pytest.mark.parametrize("name", FIGURES)
def test_an_unmeasured_figure_fails(judge, name):
    assert failed(judge(**{name: None})) == [name]


@pytest.mark.parametrize("name, value", [
    ("max_map_drop", -0.01), ("max_map_drop", 1.01), ("max_map_drop", math.nan), ("max_map_drop", "0.01"),
    ("max_map_drop", None), ("max_class_drop", -0.1), ("max_class_drop", 1.5), ("min_speedup", -1),
    ("min_speedup", math.inf), ("min_speedup", math.nan), ("min_speedup", True), ("min_map", -0.1), ("min_map", 2)])
def test_limits_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(UserError, match=f"parameter {name}: "):
        Thresholds(**{name: value})


def test_the_widest_and_the_tightest_limits_are_taken(judge):
    assert judge(Thresholds(max_map_drop=1, min_speedup=0, min_map=0), map_drop=0.42, speedup=0.1).passed
    assert failed(judge(Thresholds(max_map_drop=0.0, min_speedup=0))) == ["map_drop"]
