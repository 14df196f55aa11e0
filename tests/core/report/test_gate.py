import math

import pytest

from core.base.errors import UserError
from core.report.gate import Thresholds, judge

LIMITS = Thresholds(max_map_drop=0.01, min_speedup=1.5)


def figures(map_drop=0.005, **changed):
    return {"map_fp32": 0.42, "map_ir": 0.42 - map_drop, "map_drop": map_drop, "worst_class_drop": 0.02,
            "corrupt_images": 0.0, "speedup": 2.0, "fps": 200.0, **changed}


def test_a_good_model_passes_and_every_check_names_both_numbers():
    verdict = judge(figures(), LIMITS, "Platelets")
    assert verdict.passed and verdict.reasons == []
    assert [check.sentence for check in verdict.checks] == [
        "mAP drop 0.0050 is within the limit 0.0100 (FP32 0.4200, compressed IR 0.4150)",
        "largest AP drop of a class 0.0200 (Platelets) is within the limit 0.0500",
        "speed-up 2.00x meets the minimum 1.50x"]


def test_lost_accuracy_fails_and_names_both_numbers():
    assert judge(figures(map_drop=0.0123), LIMITS).reasons == [
        "mAP drop 0.0123 is above the limit 0.0100 (FP32 0.4200, compressed IR 0.4077)"]


def test_missed_speed_fails_and_names_both_numbers():
    assert judge(figures(speedup=1.2), LIMITS).reasons == ["speed-up 1.20x is below the minimum 1.50x"]


def test_a_class_that_lost_too_much_fails_though_the_mean_is_fine():
    assert judge(figures(map_drop=0.0, worst_class_drop=0.0512), LIMITS, "Platelets").reasons == [
        "largest AP drop of a class 0.0512 (Platelets) is above the limit 0.0500"]
    assert judge(figures(worst_class_drop=0.05), LIMITS).passed
    assert judge(figures(worst_class_drop=1.0), Thresholds(max_class_drop=1)).passed


def test_images_that_were_not_scored_fail():
    assert judge(figures(corrupt_images=3.0), LIMITS).reasons == [
        "3 test images are corrupt and were not scored; every test image must be"]


def test_both_failures_are_named():
    assert len(judge(figures(speedup=0.9, map_drop=0.5), LIMITS).reasons) == 2


@pytest.mark.parametrize("drop", [0.01, 0.42 - 0.41, 0.01 + 5e-10, -0.2])
def test_exactly_at_the_limit_passes(drop):
    assert judge(figures(map_drop=drop, speedup=1.5 - 5e-10), LIMITS).passed


@pytest.mark.parametrize("changed", [{"map_drop": 0.01 + 1e-8}, {"speedup": 1.5 - 1e-8}])
def test_just_beyond_the_limit_fails_and_shows_that_the_numbers_differ(changed):
    reason, = judge(figures(**changed), LIMITS).reasons
    assert ("0.01000001" in reason and "0.01000000" in reason) or ("1.49999999x" in reason and "1.50000000x" in reason)


def test_a_tiny_gain_is_not_written_as_minus_zero():
    assert judge(figures(map_drop=-1e-7), LIMITS).checks[0].sentence.startswith("mAP drop 0.0000 ")


@pytest.mark.parametrize("name", ["map_fp32", "map_ir", "map_drop", "worst_class_drop", "corrupt_images", "speedup",
                                  "fps"])
@pytest.mark.parametrize("value, found", [(math.nan, "nan"), (math.inf, "inf"), (None, "missing")])
def test_an_unmeasured_figure_fails(name, value, found):
    verdict = judge({**figures(), name: value}, LIMITS)
    assert verdict.reasons == [f"{name} is {found}; every figure must be a finite number to be judged"]


def test_missing_figures_are_named():
    with pytest.raises(UserError, match="has no map_drop, worst_class_drop, corrupt_images, speedup"):
        judge({"map_fp32": 0.4, "map_ir": 0.4}, LIMITS)


@pytest.mark.parametrize("name, value", [
    ("max_map_drop", -0.01), ("max_map_drop", 1.01), ("max_map_drop", math.nan), ("max_map_drop", "0.01"),
    ("max_map_drop", None), ("max_class_drop", -0.1), ("max_class_drop", 1.5), ("min_speedup", -1),
    ("min_speedup", math.inf), ("min_speedup", math.nan), ("min_speedup", True)])
def test_limits_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(UserError, match=f"parameter {name}: .*It must be"):
        Thresholds(**{name: value})


def test_the_widest_and_the_tightest_limits_are_taken():
    assert judge(figures(map_drop=0.42, speedup=0.1), Thresholds(max_map_drop=1, min_speedup=0)).passed
    assert not judge(figures(), Thresholds(max_map_drop=0.0, min_speedup=0)).passed
