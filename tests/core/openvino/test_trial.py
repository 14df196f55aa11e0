import json

from core.openvino.trial import ConvertedIr, main, try_ir


def test_an_exported_model_is_converted_and_run(openvino, write_onnx, int8_spec, tmp_path, capsys):
    onnx = write_onnx(tmp_path / "onnx", int8_spec, quantized=True)
    found = try_ir(onnx, tmp_path / "ir")
    assert found.fake_quantize_nodes > 0 and found.size_mb > 0
    assert (tmp_path / "ir" / "model.xml").is_file()

    assert main([str(onnx), str(tmp_path / "again")]) == 0
    assert ConvertedIr(**json.loads(capsys.readouterr().out.splitlines()[-1])) == found


def test_what_cannot_be_converted_ends_with_one_paragraph(openvino, tmp_path, capsys):
    assert main([str(tmp_path / "absent"), str(tmp_path / "ir")]) == 2
    assert "absent" in capsys.readouterr().err.splitlines()[-1]
