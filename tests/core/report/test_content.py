import math

import pytest

from core.report.content import ClassAp, class_aps, remarks, worst_first


@pytest.fixture()
def remarks_of(content_of):
    return lambda run, **logs: remarks(content_of(run, **logs))


def test_nothing_is_remarked_on_a_clean_run(measured, remarks_of):
    assert remarks_of(measured()) == []


def test_images_left_out_are_counted_and_named_by_stage(measured, remarks_of):
    run = measured()
    run.evaluations[0]["corrupt_images"] = [{"image": "a.jpg", "reason": "empty"}]
    run.validation["corrupt_images"] = [{"image": "b c.jpg", "reason": "truncated"},
                                        {"image": "d.jpg", "reason": "empty"}]
    assert remarks_of(run) == ["1 corrupt image left out of the FP32 evaluation: a.jpg: empty.",
                               "2 corrupt images left out of the validation: b c.jpg: truncated, d.jpg: empty."]


def test_a_warning_of_several_stages_is_shown_once_and_many_are_counted(measured, remarks_of):
    run = measured()
    run.evaluations[0]["warnings"] = run.evaluations[1]["warnings"] = ["box dropped"]
    assert remarks_of(run) == ["box dropped"]
    run.evaluations[0]["warnings"] = [f"box {number} dropped" for number in range(30)]
    assert remarks_of(run)[-1] == "11 more warnings are in the logs of evaluate and validate."


def test_measurements_on_different_images_are_remarked(measured, remarks_of):
    run = measured()
    run.candidate["ir"]["metrics"]["images"] = 70
    assert remarks_of(run) == ["The models were not measured on the same images: FP32 PyTorch on 72, compressed "
                               "PyTorch on 72, FP32 IR on 72, compressed IR on 70."]


def test_a_lossy_export_is_remarked(measured, remarks_of):
    assert remarks_of(measured(maps=(0.4047, 0.4031, 0.3947, 0.4021))) == [
        "The export alone changes the mAP of FP32: 0.4047 in PyTorch, 0.3947 in OpenVINO."]


def test_a_useless_fp32_model_is_remarked(measured, remarks_of):
    assert remarks_of(measured(maps=(0.003, 0.003, 0.003, 0.003))) == [
        "The mAP of FP32 itself is only 0.0030: a small drop from there says little."]


def test_a_model_that_is_not_compressed_is_remarked(measured, remarks_of):
    run = measured()
    run.evaluations[1]["model"]["algorithms"] = []
    assert remarks_of(run) == [
        "No compression algorithm was configured: compressed is fine-tuned, not compressed."]


def test_classes_without_ap_are_named(measured, remarks_of):
    run = measured()
    for part in (*run.evaluations, run.baseline["ir"], run.candidate["ir"]):
        part["metrics"]["per_class_ap"]["Platelets"] = None
    assert remarks_of(run) == ["1 class without a defined AP, as where the test split holds no box of it: Platelets."]


def test_oddities_of_the_logs_are_remarked(measured, remarks_of, write_log):
    cut = write_log("cut.json", epochs=1)
    cut.write_text(cut.read_text()[:-10])
    assert remarks_of(measured(), training=cut, compression=write_log("plain.json", with_val=False)) == [
        "The last line of the training log of FP32 is cut off and was passed over.",
        "The training log of FP32 has no validation results, so there is no curve of mAP over its epochs.",
        "The training log of compressed has no validation results, so there is no curve of mAP over its epochs."]


def test_a_log_without_training_is_not_blamed_for_missing_validation(measured, remarks_of, write_log):
    assert remarks_of(measured(), training=write_log("given.json", epochs=0)) == []


def test_missing_samples_are_named(measured, remarks_of):
    run = measured()
    run.validation["samples"] = [{"file": "samples/gone.jpg", "image": "a.jpg"}]
    assert remarks_of(run) == ["1 sample picture could not be read: samples/gone.jpg."]


def test_every_class_has_its_ap_in_the_order_of_the_data(measured):
    run = measured(classes=("b", "a"))
    del run.candidate["ir"]["metrics"]["per_class_ap"]["a"]
    first, second = class_aps(run.run())
    assert (first.name, first.baseline, first.candidates) == ("b", 0.4047, ((0.4031, 0.4021),))
    assert second.name == "a" and math.isnan(second.candidates[0][1]) and math.isnan(second.drop)


def test_the_drop_of_a_class_is_the_largest_of_all_candidates(three):
    assert class_aps(three.run())[0].drop == pytest.approx(0.4047 - 0.38)


def test_the_worst_class_comes_first_and_the_undefined_last():
    classes = [ClassAp("nan", math.nan, ((0.1, 0.1),)), ClassAp("gain", 0.1, ((0.1, 0.2),)),
               ClassAp("loss", 0.5, ((0.4, 0.3),))]
    assert [item.name for item in worst_first(classes, 2)] == ["loss", "gain"]
    assert worst_first(classes, 3) == classes
