"""An nncf_config is written so that it can be pasted, and read back the same."""

import json

import pytest
import yaml

from core.compression.config_check.text import as_diff, as_text

CONFIG = {"input_info": {"sample_size": [1, 3, 8, 8]},
          "compression": [{"algorithm": "filter_pruning", "params": {"pruning_target": 0.4},
                           "ignored_scopes": ["{re}.*\\[21\\].*", "it's"]},
                          {"algorithm": "quantization", "scope_overrides": {"activations": {"{re}é": {"bits": 8}}},
                           "activations": {"unified_scale_ops": [["a", "b"]]}, "weights": {}}],
          "log_dir": "logs"}


def read_python(text):
    names = {}
    exec(text, {}, names)
    return names["nncf_config"]


@pytest.mark.parametrize("suffix, read", [(".py", read_python), (".json", json.loads), (".yaml", yaml.safe_load),
                                          (".yml", yaml.safe_load)])
def test_text_reads_back_the_same(suffix, read):
    assert read(as_text(CONFIG, suffix)) == CONFIG


def test_python_is_written_as_configs_are():
    assert as_text({"input_info": {"sample_size": [1, 3, 8, 8]}, "compression": [{"algorithm": "quantization"}]},
                   ".py") == """\
nncf_config = dict(
    input_info=dict(
        sample_size=[1, 3, 8, 8],
    ),
    compression=[
        dict(
            algorithm='quantization',
        ),
    ],
)
"""


def test_a_diff_shows_the_lines_that_change():
    after = {**CONFIG, "log_dir": "elsewhere"}
    lines = as_diff(CONFIG, after, ".py").splitlines()
    assert [line for line in lines if line[0] in "+-"] == [
        "--- nncf_config", "+++ nncf_config, migrated", "-    log_dir='logs',", "+    log_dir='elsewhere',"]
    assert as_diff(CONFIG, CONFIG, ".json") == ""
