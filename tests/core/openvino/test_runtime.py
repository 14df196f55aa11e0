import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.openvino.runtime import (
    Hint,
    compile_model,
    import_openvino,
    last_line,
    read_ir,
    shared_core,
    usage_reporting_off,
)

needs_openvino = pytest.mark.usefixtures("openvino")


@needs_openvino
def test_reads_the_model_and_its_own_spec(tmp_path, toy_ir, toy_spec):
    for name in ("model.xml", "model.bin"):
        shutil.copy(toy_ir / name, tmp_path)
    model, spec = read_ir(tmp_path)
    assert spec == toy_spec
    assert [item.any_name for item in model.inputs] == ["image"]


@needs_openvino
@pytest.mark.parametrize("name, kept", [("model.bin", 0), ("model.bin", 0.5), ("model.bin", 0.999),
                                        ("model.xml", 0), ("model.xml", 0.5), ("model.xml", 0.999)])
def test_a_truncated_file_is_refused(tmp_path, toy_ir, name, kept):
    shutil.copytree(toy_ir, tmp_path / "ir")
    content = (tmp_path / "ir" / name).read_bytes()
    (tmp_path / "ir" / name).write_bytes(content[:int(len(content) * kept)])
    with pytest.raises(UserError, match="OpenVINO IR: .*ir. OpenVINO cannot read it: .+"):
        read_ir(tmp_path / "ir")


@pytest.mark.parametrize("name", ["model.bin", "model.xml"])
def test_a_missing_file_is_refused(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(UserError, match="It must hold model.xml and model.bin"):
        read_ir(tmp_path)


@needs_openvino
def test_an_ir_without_metadata_is_refused(tmp_path, toy_ir):
    openvino = import_openvino()
    openvino.save_model(shared_core().read_model(toy_ir.parent / "onnx" / "model.onnx"), tmp_path / "model.xml")
    with pytest.raises(UserError, match="It has no model_info/mmdet_compress_spec"):
        read_ir(tmp_path)


@needs_openvino
def test_a_damaged_spec_is_refused(tmp_path, toy_ir):
    openvino = import_openvino()
    model = shared_core().read_model(toy_ir / "model.xml")
    model.set_rt_info("{}", ["model_info", "mmdet_compress_spec"])
    openvino.save_model(model, tmp_path / "model.xml")
    with pytest.raises(UserError, match="model spec"):
        read_ir(tmp_path)


@needs_openvino
def test_models_are_compiled_in_f32_with_the_hint(toy_ir):
    compiled = compile_model(read_ir(toy_ir)[0], Hint.THROUGHPUT, threads=1)
    assert compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"
    assert "THROUGHPUT" in str(compiled.get_property("PERFORMANCE_HINT"))
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1


@pytest.mark.parametrize("before", [None, "", "false"])
def test_the_variable_that_stops_reporting_is_put_back(monkeypatch, before):
    monkeypatch.delenv("CI", raising=False)
    if before is not None:
        monkeypatch.setenv("CI", before)
    with pytest.raises(KeyError), usage_reporting_off():
        assert os.environ["CI"] == "true"
        raise KeyError
    assert os.environ.get("CI") == before


def test_the_last_line_of_a_message_is_its_cause():
    assert last_line(RuntimeError("Exception from core.cpp:90:\nIncorrect weights in bin file!\n\n")) == (
        "Incorrect weights in bin file!")
    assert last_line(RuntimeError()) == "RuntimeError"


def test_a_signal_after_models_came_and_went_raises_instead_of_crashing(toy_ir):
    program = ("import gc, os, signal, sys; from pathlib import Path; from core.openvino.detector import *; "
               "from core.openvino.runtime import *; ir = Path(sys.argv[1]); first = OpenVinoDetector(ir); "
               "second = compile_model(read_ir(ir)[0], Hint.THROUGHPUT); del first; gc.collect(); del second; "
               "gc.collect(); third = OpenVinoDetector(ir); del third; gc.collect(); "
               "os.kill(os.getpid(), signal.SIGINT)")
    done = subprocess.run([sys.executable, "-c", program, str(toy_ir)], stderr=subprocess.PIPE, text=True,
                          cwd=str(Path(__file__).parents[3]))
    assert done.stderr.rstrip().endswith("KeyboardInterrupt"), done.stderr[-500:]
