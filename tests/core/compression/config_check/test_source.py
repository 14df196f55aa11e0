"""A file with a model or without one, and what it says about the training."""

import json
import textwrap

import pytest

from core.base.errors import UserError
from core.compression.config_check.source import read_source, swapped_size
from core.config.python_text import NotData

BARE = {"input_info": {"sample_size": [1, 3, 8, 8]}, "compression": {"algorithm": "quantization"}}
SMALL = "configs/nncf_compression/retinanet_r18_small/int8.py"


def test_an_mmdet_config_tells_epochs_and_batch_size():
    source = read_source(SMALL)
    assert source.nncf_config["compression"]["algorithm"] == "quantization"
    assert source.config["model"]["type"] == "RetinaNet"
    assert (source.epochs, source.batch_size) == (4, 8)
    assert source.path.name == "int8.py"


def test_options_change_the_config():
    source = read_source(SMALL, {"runner.max_epochs": 5, "nncf_config.compression.algorithm": "filter_pruning",
                                 "data.samples_per_gpu": 4})
    assert (source.epochs, source.batch_size) == (5, 4)
    assert source.nncf_config["compression"]["algorithm"] == "filter_pruning"


def test_a_config_without_compression():
    assert read_source("configs/detectors/retinanet_r18_small.py").nncf_config is None


@pytest.mark.parametrize("name, text", [
    ("bare.json", json.dumps(BARE)),
    ("keyed.json", json.dumps({"nncf_config": BARE})),
    ("bare.yaml", "input_info: {sample_size: [1, 3, 8, 8]}\ncompression: {algorithm: quantization}\n"),
    ("bare.py", "input_info = dict(sample_size=[1, 3, 8, 8])\ncompression = dict(algorithm='quantization')\n"),
    ("keyed.py", f"nncf_config = {BARE!r}\n")])
def test_a_file_with_an_nncf_config_alone(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    source = read_source(tmp_path / name)
    assert source.nncf_config == BARE
    assert (source.config, source.epochs, source.batch_size) == (None, None, 2)
    assert read_source(tmp_path / name, batch_size=16).batch_size == 16
    changed = read_source(tmp_path / name, {"nncf_config.compression.algorithm": "filter_pruning"})
    assert changed.nncf_config["compression"]["algorithm"] == "filter_pruning"


@pytest.mark.parametrize("name, text", [("list.json", "[1]"), ("broken.json", "{"), ("tag.yaml", "a: !!python/x 1")])
def test_rubbish_is_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=name):
        read_source(tmp_path / name)


def test_the_specifications_literal_is_no_python(tmp_path):
    (tmp_path / "spec.py").write_text("nncf_config = dict(input_info=dict(\"sample_size\": [1, 3, 1000, 600]))")
    with pytest.raises(UserError, match="valid Python syntax"):
        read_source(tmp_path / "spec.py")


def test_python_runs_only_where_it_is_trusted(tmp_path):
    code = "import os\nmodel = dict(type='RetinaNet')\nnncf_config = dict(log_dir=os.sep)\n"
    pipeline = "data = dict(samples_per_gpu=3, train=dict(pipeline=[1]), test=dict(pipeline=[1]))\n"
    (tmp_path / "code.py").write_text(textwrap.dedent(code + pipeline))
    with pytest.raises(NotData):
        read_source(tmp_path / "code.py")
    source = read_source(tmp_path / "code.py", trust=True)
    assert source.nncf_config == {"log_dir": "/"}
    assert source.batch_size == 3


def test_width_for_height_is_noticed():
    source = read_source(SMALL, {"nncf_config.input_info.sample_size": [2, 3, 256, 192]})
    finding, = swapped_size(source, source.nncf_config)
    assert finding.path == "input_info.sample_size"
    assert "256 wide and 192 high" in finding.rule
    assert finding.replacement == "Write [2, 3, 192, 256]."


@pytest.mark.parametrize("options", [{}, {"nncf_config.input_info.sample_size": [1, 3, 256, 256]},
                                     {"nncf_config.input_info.sample_size": None},
                                     {"data.test.pipeline.1.flip": True}])
def test_other_sizes_are_no_mistake(options):
    source = read_source(SMALL, options)
    assert swapped_size(source, source.nncf_config) == []


def test_without_a_pipeline_no_size_is_compared(tmp_path):
    (tmp_path / "bare.json").write_text(json.dumps(BARE))
    source = read_source(tmp_path / "bare.json")
    assert swapped_size(source, source.nncf_config) == []
