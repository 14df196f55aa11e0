import math

import pytest

from core.base.errors import UserError
from core.report.training_log import TrainRow, ValRow, read_training_log

ENV = '{"mode": "env", "epochs": 2, "iters_per_epoch": 10, "seed": 0}\n'
TRAIN = '{"mode": "train", "epoch": 1, "iter": 5, "lr": 0.001, "loss": 1.5, "loss_cls": 1.0, "acc": 7, "time": 0.4}\n'
VAL = '{"mode": "val", "epoch": 1, "iter": 73, "map": 0.3, "map50": 0.6}\n'


def log_of(tmp_path, text):
    file = tmp_path / "log.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return read_training_log(file)


def test_rows_are_read(tmp_path):
    log = log_of(tmp_path, ENV + TRAIN + VAL)
    assert (log.epochs, log.iters_per_epoch, log.truncated, log.passed_through) == (2, 10, False, False)
    assert log.train == (TrainRow(1, 5, 0.001, {"loss": 1.5, "loss_cls": 1.0}, 0.4),)
    assert log.val == (ValRow(1, 0.3, 0.6),)


def test_a_pass_through_log_has_only_its_first_line(tmp_path):
    log = log_of(tmp_path, '{"mode": "env", "epochs": 0, "iters_per_epoch": 0, "seed": 0}\n')
    assert log.passed_through and log.train == () and log.val == ()


@pytest.mark.parametrize("tail", ['{"mode": "train", "epoch": 1, "it', '{"mode"', '{', b"\xe7"])
def test_a_truncated_last_line_is_passed_over(tmp_path, tail):
    text = (ENV + TRAIN).encode() + (tail if isinstance(tail, bytes) else tail.encode())
    log = log_of(tmp_path, text)
    assert log.truncated and len(log.train) == 1


def test_a_broken_line_in_the_middle_is_refused(tmp_path):
    with pytest.raises(UserError, match="line 2 is not a JSON object"):
        log_of(tmp_path, ENV + '{"mode": "train"\n' + TRAIN)


def test_what_was_logged_twice_counts_as_logged_last(tmp_path):
    log = log_of(tmp_path, ENV + TRAIN + VAL + ENV + TRAIN.replace("1.5", "1.2") + VAL.replace("0.3", "0.4"))
    assert [row.losses["loss"] for row in log.train] == [1.2]
    assert [row.map for row in log.val] == [0.4]


def test_absent_and_null_numbers_are_nan(tmp_path):
    log = log_of(tmp_path, ENV + '{"mode": "train", "epoch": 1, "iter": 1, "loss": NaN}\n'
                 '{"mode": "val", "epoch": 1, "map": null}\n')
    assert math.isnan(log.train[0].lr) and math.isnan(log.train[0].losses["loss"]) and math.isnan(log.val[0].map)


def test_rows_of_other_modes_are_for_others(tmp_path):
    log = log_of(tmp_path, ENV + '{"mode": "statistics", "pruned": 0.4}\n' + TRAIN)
    assert len(log.train) == 1


@pytest.mark.parametrize("text, message", [
    ("", "an empty file"), ("\n", "does not start"), (TRAIN, "does not start"),
    ("hello\n", "line 1 is not a JSON object"),
    ("[1, 2]\n", "line 1 is not a JSON object"), (b"\x89PNG\r\n\x1a\n", "line 1 is not a JSON object"),
    ('{"mode": "env"}\n', "line 1 lacks or misstates 'epochs'"), (ENV + "{}\n", "line 2 lacks or misstates 'mode'"),
    (ENV + '{"mode": "val", "map": 0.1}\n', "line 2 lacks or misstates 'epoch'"),
    (ENV + '{"mode": "train", "epoch": 1, "iter": 1, "loss": "high"}\n', "line 2 lacks or misstates")])
def test_what_is_no_log_is_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        log_of(tmp_path, text)


def test_a_missing_log_is_named(tmp_path):
    with pytest.raises(UserError, match="absent.json .No such file"):
        read_training_log(tmp_path / "absent.json")


def test_a_training_counted_in_iterations(tmp_path):
    """mmcv numbers its iterations through."""
    log = log_of(tmp_path, '{"mode": "env", "epochs": 0, "iterations": 30, "iters_per_epoch": 8, "seed": 0}\n'
                 '{"mode": "val", "epoch": 0, "map": 0.1, "map50": 0.2}\n'
                 '{"mode": "train", "epoch": 1, "iter": 5, "lr": 0.1, "loss": 2.0, "time": 0.1}\n'
                 '{"mode": "train", "epoch": 2, "iter": 15, "lr": 0.1, "loss": 1.0, "time": 0.1}\n'
                 '{"mode": "val", "epoch": 2, "iter": 18, "bbox_mAP": 0.3, "bbox_mAP_50": 0.5}\n'
                 '{"mode": "train", "epoch": 3, "iter": 20, "lr": 0.1, "loss": 0.5, "time": 0.1}\n')
    assert (log.unit, log.length, log.passed_through) == ("iteration", 30, False)
    assert [log.done(row) for row in log.train] == [5, 15, 20]
    assert [(row.done, row.map) for row in log.val] == [(0, 0.1), (18, 0.3)]
