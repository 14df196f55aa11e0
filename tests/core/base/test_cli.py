import argparse
import errno
import subprocess
import sys
from pathlib import Path

import pytest

from core.base.cli import (
    boolean,
    json_object,
    name_list,
    run_guarded,
    run_stage,
    share,
    stage_parser,
    whole_number,
)
from core.base.errors import StateSaved, Terminated, UserError

ROOT = Path(__file__).parents[3]


def raising(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize(("error", "code", "message"), [
    (UserError("data", "/x", "It must exist.", "Check it."), 2, "tool: data: /x. It must exist. Check it.\n"),
    (KeyboardInterrupt(), 130, "tool: interrupted. "),
    (OSError(errno.ENOSPC, "No space left", "/out/file"), 3, "tool: disk full: /out/file. "),
    (OSError(errno.EFBIG, "File too large", "/out/file"), 3, "tool: disk full: /out/file. "),
    (StateSaved("/states/1", "epoch 2"), 75,
     "tool: terminated by SIGTERM; the training state after epoch 2 is in /states/1. Start again"),
    (Terminated(), 143, "tool: terminated by SIGTERM. "),
    (PermissionError(errno.EACCES, "Permission denied", "/out/file"), 2, "tool: no permission: /out/file. ")])
def test_failure_a_user_can_mend_is_one_paragraph(error, code, message, capsys):
    assert run_guarded("tool", raising(error)) == code
    shown = capsys.readouterr().err
    assert shown.startswith(message) and shown.count("\n") == 1


@pytest.mark.parametrize("error", [ValueError("a fault"), OSError(errno.EIO, "Input/output error")])
def test_fault_of_ours_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        run_guarded("tool", raising(error))


def test_sigterm_ends_the_work_and_leaves_the_handler_as_it_was():
    # In a process of its own: threads that OpenVINO left in this one do not survive the signal.
    program = ("import os, signal; from core.base.cli import run_guarded; before = signal.getsignal(signal.SIGTERM); "
               "code = run_guarded('tool', lambda: os.kill(os.getpid(), signal.SIGTERM)); "
               "assert signal.getsignal(signal.SIGTERM) == before; raise SystemExit(code)")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=str(ROOT))
    assert done.returncode == 143
    assert done.stderr.startswith("tool: terminated by SIGTERM. ")


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1)])
def test_stage_ends_with_the_code_its_work_returns(returned, code):
    assert run_stage(stage_parser("stage", "Does nothing."), lambda arguments, output: returned, []) == code


def test_executor_input_that_is_none_is_refused(capsys):
    parser = stage_parser("stage", "Does nothing.")
    assert run_stage(parser, lambda arguments, output: None, ["--executor-input", "{}"]) == 2
    assert "stage: --executor-input" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "names"), [
    ("", []), ("a", ["a"]), ("a, b ,", ["a", "b"]), ("[]", []), ('["a, b", "c"]', ["a, b", "c"])])
def test_names_come_as_json_or_between_commas(text, names):
    assert name_list(text) == names


def test_object_comes_as_json_or_in_a_file(tmp_path):
    (tmp_path / "data.json").write_text('{"a": [1]}')
    assert json_object('{"a": [1]}') == json_object(f"@{tmp_path}/data.json") == {"a": [1]}


@pytest.mark.parametrize(("option", "text", "message"), [
    (json_object, "[1]", "is not a JSON object"), (json_object, "{", "is not JSON"),
    (json_object, "@/absent.json", "cannot be read"), (name_list, "[1]", "holds something other than text"),
    (name_list, "[", "is not JSON"), (boolean, "yes", "neither true nor false"), (boolean, "", "neither true")])
def test_unusable_option_is_refused_with_an_example(option, text, message, capsys):
    parser = stage_parser("stage", "Does nothing.")
    parser.add_argument("--option", type=option)
    with pytest.raises(SystemExit):
        parser.parse_args(["--option", text])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("text", "value"), [("true", True), ("True", True), ("false", False), ("False", False)])
def test_a_boolean_comes_in_the_capitals_of_kfp_json_or_python(text, value):
    assert boolean(text) is value


@pytest.mark.parametrize("read, good, bad", [
    (whole_number, {"1": 1, "200": 200}, ("0", "-1", "1.5", "", "nan", "\u00b2")),
    (share, {"0": 0, "0.01": 0.01, "1": 1}, ("-0.1", "1.01", "nan", "inf", "", "x"))])
def test_a_number_out_of_its_range_is_refused(read, good, bad):
    """An image count of -1 ended in numpy's traceback; a limit of nan was kept by no trial."""
    assert {text: read(text) for text in good} == good
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError):
            read(text)
