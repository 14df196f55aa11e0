import dataclasses
import json
import math

import pytest

from core.base.errors import UserError
from core.report.build import build_report
from core.results.outcome import Making
from core.results.summary import Summary


@pytest.fixture()
def build(tmp_path):
    def run(inputs):
        files = [tmp_path / "out" / name for name in ("summary.json", "report.html", "report.md")]
        return build_report(inputs, *files).summary, files

    return run


@pytest.mark.parametrize("maps, verdict", [((0.4, 0.4, 0.4, 0.4), "pass"), ((0.4, 0.4, 0.4, 0.2), "fail")])
def test_all_three_files_exist_whatever_the_verdict(measured, inputs_of, build, maps, verdict):
    summary, files = build(inputs_of(measured(maps=maps)))
    assert summary.verdict == verdict
    assert Summary.read(files[0]) == summary
    assert verdict.title() in files[1].read_text(encoding="utf-8")
    assert files[2].read_text(encoding="utf-8").startswith(f"# Compression report: {verdict}")


@pytest.mark.parametrize("missing", ["evaluation0.json", "evaluation1.json", "log0.json", "log1.json",
                                     "validation/metrics.json"])
def test_a_missing_input_is_named_and_nothing_is_written(measured, inputs_of, build, tmp_path, missing):
    inputs = inputs_of(measured())
    (tmp_path / missing).unlink()
    with pytest.raises(UserError, match=missing):
        build(inputs)
    assert not (tmp_path / "out").exists()


def test_models_that_were_not_validated_are_refused(measured, inputs_of, build):
    inputs = inputs_of(measured())
    with pytest.raises(UserError, match="FP32, compressed"):
        build(dataclasses.replace(inputs, models={"FP32": inputs.models["FP32"]}))


def test_every_candidate_is_judged_and_the_chosen_one_decides(three, inputs_of, build):
    summary, files = build(inputs_of(three))
    assert [one.verdict for one in summary.all] == ["pass", "fail"] and summary.passed
    assert Summary.read(files[0]) == summary
    assert files[2].read_text(encoding="utf-8").startswith("# Compression report: pass")


def test_the_curves_of_candidates_that_failed_are_shown(three, inputs_of, build, write_log):
    three.validation["failed"] = [{"schema": 1, "kind": "failed candidate", "candidate": "wild", "stage": "compress",
                                   "reason": "loss: nan in epoch 2, iteration 7."}]
    wild = write_log("wild.json", epochs=2, with_val=False)
    summary, files = build(dataclasses.replace(inputs_of(three), failed_logs={"wild": wild}))
    page = files[1].read_text(encoding="utf-8")
    assert "wild: loss, validation accuracy" in page and "training log of wild has no validation" in page
    assert [one.name for one in summary.choice.candidates] == ["int8", "pruned", "wild"]


def made(name, **values):
    return Making(**{"version": 1, "candidate": name, "fine_tune": "always", "decision": "Fine-tuned.", "epochs": 6,
                     "map_before_compression": math.nan, "map_before_training": math.nan, "planned_epochs": 6,
                     "seconds": 5400.0, "gpus": 2, "config": {}, **values})


@pytest.mark.parametrize("price, took", [(0.0, "3.0 h, 2 GPUs"), (2.5, "3.0 h, 2 GPUs, 7.50")])
def test_the_table_has_what_a_candidate_took_its_cost_and_its_epoch(three, inputs_of, build, price, took):
    inputs = inputs_of(three)
    models = {**inputs.models, "int8": dataclasses.replace(inputs.models["int8"], making=made("int8", result_epoch=4))}
    summary, files = build(dataclasses.replace(inputs, models=models, price_per_hour=price))
    page, markdown = (file.read_text(encoding="utf-8") for file in files[1:])
    assert f"<td>{took}</td><td>4 of 6</td>" in page and f"| {took} | 4 of 6 |" in markdown
    assert ("took, cost" in page) == ("took, cost" in markdown) == bool(price)
    assert summary.choice.price_per_hour == price and Summary.read(files[0]) == summary


def test_the_report_says_what_was_decided_of_training_and_of_layers(three, inputs_of, build):
    three.candidate["decision"] = "In FP32: neck."
    inputs = inputs_of(three)
    models = {**inputs.models, "int8": dataclasses.replace(inputs.models["int8"], making=made("int8"))}
    summary, files = build(dataclasses.replace(inputs, models=models))
    assert [one.decision for one in summary.choice.candidates] == ["Fine-tuned. In FP32: neck.", ""]
    assert all("Fine-tuned. In FP32: neck." in file.read_text(encoding="utf-8") for file in files[1:])


def test_a_price_is_shown_of_a_single_candidate_too(measured, inputs_of, build):
    """It was ignored without a word."""
    inputs = inputs_of(measured())
    models = {**inputs.models, "compressed": dataclasses.replace(inputs.models["compressed"],
                                                                 making=made("compressed", result_epoch=4))}
    summary, files = build(dataclasses.replace(inputs, models=models, price_per_hour=2.5))
    page, markdown = (file.read_text(encoding="utf-8") for file in files[1:])
    assert "<td>3.0 h, 2 GPUs, 7.50</td>" in page and "| 3.0 h, 2 GPUs, 7.50 |" in markdown
    assert [(one.name, one.chosen, one.hours) for one in summary.choice.candidates] == [("compressed", True, 3)]
    assert build(dataclasses.replace(inputs, models=models))[0].choice is None


def test_the_iteration_of_a_result_is_not_shown_as_an_epoch(three, inputs_of, build):
    inputs = inputs_of(three)
    making = made("int8", result_epoch=4, planned_epochs=0)
    models = {**inputs.models, "int8": dataclasses.replace(inputs.models["int8"], making=making)}
    summary, files = build(dataclasses.replace(inputs, models=models))
    assert [one.result_epoch for one in summary.choice.candidates if one.name == "int8"] == [0]
    assert "| 3.0 h, 2 GPUs | 6 |" in files[2].read_text(encoding="utf-8")


def test_non_ascii_names_reach_every_file(measured, inputs_of, build):
    _, files = build(inputs_of(measured(classes=("\u7ea2\u7ec6\u80de", "Pl\u00e4ttchen"))))
    assert "\u7ea2\u7ec6\u80de" in files[1].read_text(encoding="utf-8")
    assert "Pl\u00e4ttchen" in files[2].read_text(encoding="utf-8")


def test_names_that_utf8_cannot_hold_do_not_stop_the_report(measured, inputs_of, build):
    run = measured()
    run.data = dataclasses.replace(run.data, uri="/data/bad\udcff")
    _, files = build(inputs_of(run))
    assert "/data/bad" in files[1].read_text(encoding="utf-8")


def test_the_summary_is_strict_json(measured, inputs_of, build):
    run = measured()
    run.candidate["ir"]["metrics"]["map"] = None
    summary, files = build(inputs_of(run))
    assert summary.verdict == "fail"
    assert json.loads(files[0].read_text(), parse_constant=pytest.fail)["map_ir"] is None
