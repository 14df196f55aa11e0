"""Filters are removed where that changes nothing; else they stay as zeros, and it is said."""

from types import SimpleNamespace

import pytest
import torch

from core.compression.nncf_import import import_nncf
from core.dry_run.dry_run import DryRun
from core.export.pruned import _proposing, remove_filters
from scripts.trial_configs import CLASSES, trial_config


class Detector(torch.nn.Module):
    """Two branches of as many filters, one of which reaches their sum through ``between``."""

    def __init__(self, between):
        super().__init__()
        self.between = between
        self.stem = torch.nn.Conv2d(3, 8, 1)
        self.last, self.other = torch.nn.Conv2d(32, 4, 1), torch.nn.Conv2d(32, 4, 1)
        self.left, self.right = torch.nn.Conv2d(8, 32, 1), torch.nn.Conv2d(8, 32, 1)

    def forward(self, img):
        left, right = torch.relu(self.left(self.stem(img))), torch.relu(self.right(self.stem(img)))
        return self.last(left + self.between(right)), self.other(right)

    def extract_feat(self, img):
        return Detector.forward(self, img)


def traced(value):
    # Looked up late: NNCF traces what it puts in the place of torch's function.
    return torch.relu(value)


def rolled(value):
    """Not traced by NNCF 2.0.0: the branches' filters look independent, and as many go from each."""
    return torch.roll(value, 1, 2)


def widened(value):
    """Not traced either, and of a size that its filters alone do not tell."""
    return torch.cumsum(value, 1)[:, :32] + torch.zeros(32, 1, 1)


@pytest.mark.parametrize("between, removed", [(traced, True), (rolled, False), (widened, False)])
def test_the_network_returns_the_same(monkeypatch, caplog, between, removed):
    import_nncf()
    from nncf import NNCFConfig
    from nncf.torch import create_compressed_model

    torch.manual_seed(0)
    plain = {"input_info": {"sample_size": [1, 3, 16, 16]},
             "compression": {"algorithm": "filter_pruning", "pruning_init": 0.5}}
    controller, network = create_compressed_model(Detector(between), NNCFConfig.from_dict(plain), dump_graphs=False)
    monkeypatch.setattr("core.export.pruned.tracing_forward", lambda detector, _: detector.extract_feat)
    images = torch.rand(1, 3, 16, 16)
    before = [level.detach() for level in network.eval()(images)]
    with caplog.at_level("WARNING"):
        remove_filters(SimpleNamespace(network=network, nncf_config=plain, postprocessing=False), controller)
    for old, new in zip(before, network(images), strict=True):
        assert torch.allclose(old, new, atol=1e-5)
    left = network.get_nncf_wrapped_model().left.weight
    assert left.shape[0] == (16 if removed else 32)
    assert int((left.abs().sum((1, 2, 3)) == 0).sum()) == (0 if removed else 16)
    assert ("stay in the exported model as zeros" in caplog.text) is not removed
    # NNCF's counting of operations leaves its hooks where it fails.
    assert not any(module._forward_hooks for module in network.modules())
    assert not network.get_tracing_context().module_call_stack


class Proposals:
    """A region proposal network's post-processing: another order each time."""

    def __init__(self):
        self.found = iter(range(100))

    def get_bboxes(self):
        return next(self.found)


def test_proposals_are_the_same_before_and_after():
    detector, proposals = SimpleNamespace(rpn_head=Proposals()), []
    for _ in range(2):
        with _proposing(detector, proposals):
            assert detector.rpn_head.get_bboxes() == 0
    assert detector.rpn_head.get_bboxes() == 1 and "get_bboxes" not in vars(detector.rpn_head)
    with _proposing(SimpleNamespace(), []):
        pass


def test_a_detector_of_two_stages_loses_its_filters(tmp_path, caplog):
    run = DryRun(trial_config("faster_rcnn_r50", "pruning"), CLASSES, tmp_path)
    run.build()
    run.wrap()
    before = sum(value.numel() for value in run.detector.parameters())
    remove_filters(run.compression, run.compression.controller)
    assert sum(value.numel() for value in run.detector.parameters()) < 0.9 * before
    assert "as zeros" not in caplog.text
