"""NNCF's own schema is asked as well, and nothing it refuses goes unsaid."""

import json

import pytest

from core.compression.config_check import check_nncf_config
from core.compression.config_check.grammar import Choice
from core.compression.config_check.schema import nncf_is_installed, schema_findings

VALID = {"input_info": {"sample_size": [1, 3, 8, 8]}, "compression": [{"algorithm": "quantization"}]}


def test_without_nncf_our_rules_stand_alone(monkeypatch):
    monkeypatch.setattr("core.compression.config_check.schema.nncf_is_installed", lambda: False)
    assert schema_findings({}) == []
    assert [finding.path for finding in check_nncf_config({**VALID, "log_dir": 3})] == ["log_dir"]


@pytest.mark.skipif(not nncf_is_installed(), reason="needs NNCF")
class TestWithNncf:
    def test_a_valid_config_passes(self):
        assert schema_findings(VALID) == []

    @pytest.mark.parametrize("nncf_config, path, said", [
        ({**VALID, "target_device": "NPU"}, "target_device", "'NPU' is not one of"),
        ({"compression": VALID["compression"]}, "nncf_config", "'input_info' is a required property"),
        ({**VALID, "compression": {"algorithm": "filter_pruning", "params": {"pruning_target": "a"}}},
         "compression.params.pruning_target", "'a' is not of type 'number'"),
        ({**VALID, "compression": [{"algorithm": "quantization"}, {"algorithm": "filter_pruning", "x": 1}]},
         "compression[1]", "'x' was unexpected")])
    def test_refusals_have_their_place(self, nncf_config, path, said):
        finding, = schema_findings(nncf_config)
        assert finding.path == path
        assert said in finding.rule

    def test_what_a_rule_of_ours_says_is_not_said_twice(self):
        wrong = {**VALID, "target_device": "NPU", "compression": [{"algorithm": "quantization", "bits": 8}]}
        assert len(schema_findings(wrong)) == 2
        assert not any("schema" in finding.rule for finding in check_nncf_config(wrong))

    def test_a_refusal_that_no_rule_of_ours_foresees_is_listed(self, monkeypatch):
        monkeypatch.setattr(Choice, "problem", lambda self, value: None)
        finding, = check_nncf_config({**VALID, "target_device": "NPU"})
        assert finding.path == "target_device" and "NNCF's schema refuses it" in finding.rule

    def test_what_passes_here_passes_nncf(self):
        from nncf import NNCFConfig

        assert check_nncf_config(VALID) == []
        assert json.loads(json.dumps(NNCFConfig.from_dict(VALID))) == VALID
