import io

import pytest

from pipelines.console import Console, StageOutput, duration


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0:00"), (59.6, "1:00"), (151, "2:31"), (3600, "1:00:00"),
                                               (7325, "2:02:05")])
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_stage_output_goes_to_console_and_log():
    screen, log = io.StringIO(), io.StringIO()
    output = StageOutput("train", Console(screen), log)
    output.line("one")
    output.write("tw")
    output.write("o\nthree\nunfinished")
    assert screen.getvalue() == "train | one\ntrain | two\ntrain | three\n"
    assert log.getvalue() == "one\ntwo\nthree\n"
