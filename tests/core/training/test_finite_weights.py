"""Weights that the last step of a training made infinite: no loss tells of it, and no other stage may fail of it."""

from types import SimpleNamespace

import pytest

from core.base.errors import CandidateFailed


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_training_that_ends_in_weights_that_are_not_finite_is_the_candidate_s_failure(tmp_path, monkeypatch, value):
    import torch

    from core.training import fit as fitting

    network = torch.nn.Linear(2, 2)
    with torch.no_grad():
        network.weight[0, 0] = value
    log = tmp_path / "work" / "training.log.json"
    log.parent.mkdir()
    log.write_text("{}")
    trainer = SimpleNamespace(run=lambda: None, best_checkpoint=lambda: None, runner=SimpleNamespace(messages={}),
                              network=network, snapshot=lambda: pytest.fail("nothing may be written"), seconds=7.0)
    monkeypatch.setattr(fitting, "Trainer", lambda *arguments: trainer)
    with pytest.raises(CandidateFailed, match="weights: 1 not finite after training, such as weight") as failed:
        fitting.fit({}, None, tmp_path / "it.pth", tmp_path / "log.jsonl", tmp_path / "work")
    assert failed.value.seconds == 7
    # The log tells how it came to that.
    assert (tmp_path / "log.jsonl").is_file() and not (tmp_path / "it.pth").exists()


def test_finite_weights_pass():
    import torch

    from core.training.fit import require_finite

    require_finite(torch.nn.Linear(2, 2))
