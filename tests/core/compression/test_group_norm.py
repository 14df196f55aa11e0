"""Heads with group norm, as those of FCOS and ATSS: their convolutions must be ones that OpenVINO can run in int8."""



from core.compression.wrap import named_quantizers
from core.dry_run.dry_run import DryRun
from scripts.trial_configs import CLASSES, trial_config


def test_quantizers_stay_behind_the_relu(tmp_path):
    config = trial_config("retinanet_r18_small", "int8")
    config.model.bbox_head.norm_cfg = {"type": "GN", "num_groups": 4, "requires_grad": True}
    trial = DryRun(config, CLASSES, tmp_path)
    trial.build()
    trial.wrap(False)
    names = [name for name, _ in named_quantizers(trial.compression.controller) if "bbox_head" in name]
    operations = trial.compression.network.get_original_graph().get_all_node_keys()
    assert any("GroupNorm[gn]" in operation for operation in operations)
    assert any("ReLU[activate]" in name for name in names)
    assert not [name for name in names if "group_norm" in name], names
