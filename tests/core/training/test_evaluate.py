"""The split that is scored is read as the config's test loader says."""

import warnings

import numpy as np
import pytest

from core.base.errors import CandidateFailed, UserError
from core.config.adapt import fit_to_data
from core.detectors.building import build_detector
from core.training.evaluate import evaluate_network, split_loader
from core.training.hooks import validation_metrics
from core.training.samples import train_loader


def test_images_a_batch_are_the_config_s_and_change_nothing(tiny_config, tiny_data):
    alone, together = tiny_config(), tiny_config(**{"data.test_dataloader": {"samples_per_gpu": 3}})
    with warnings.catch_warnings():
        # MMDetection warns of the step that it replaces for several images.
        warnings.filterwarnings("error", ".*ImageToTensor")
        loader = split_loader(together, tiny_data.test, tiny_data.classes)
    batches = [len(batch["img_metas"][0].data[0]) for batch in loader]
    assert batches == [3, 1]

    network = build_detector(alone)
    network.init_weights()
    network.bbox_head.retina_cls.bias.data.fill_(0)
    one, three = (evaluate_network(network, config, tiny_data.test, tiny_data.classes).detections
                  for config in (alone, together))
    assert list(one) == list(three) and all(len(found.scores) for found in one.values())
    for image, found in one.items():
        np.testing.assert_allclose(three[image].scores, found.scores, atol=1e-4)
    assert sum(map(len, (found.scores for found in one.values()))) == pytest.approx(
        sum(map(len, (found.scores for found in three.values()))), rel=0.02)


def test_a_training_set_without_samples_is_refused(tiny_config, tiny_data):
    config = tiny_config()
    fit_to_data(config, tiny_data)
    config.data.train = {"type": "RepeatDataset", "times": 0, "dataset": config.data.train}
    with pytest.raises(UserError) as caught:
        train_loader(config, tiny_data, seed=0)
    assert (caught.value.thing, caught.value.value) == ("config, data.train", "no samples")


@pytest.mark.parametrize("metric", ["segm", ["bbox", "segm"]])
def test_masks_are_not_measured_of_a_detector_of_boxes(metric):
    boxes = [[np.zeros((0, 5), np.float32)]]
    with pytest.raises(UserError) as caught:
        validation_metrics(None, boxes, None, {"metric": metric})
    assert (caught.value.thing, caught.value.value) == ("evaluation.metric", str(metric))


def test_a_network_that_finds_boxes_that_are_nan_has_failed_by_itself(tiny_config, tiny_data):
    network = build_detector(tiny_config())
    network.init_weights()
    network.bbox_head.retina_cls.bias.data.fill_(0)
    network.bbox_head.retina_reg.bias.data.fill_(float("nan"))
    with pytest.raises(CandidateFailed, match=r"model: boxes or scores that are NaN in 4 of 4 images of split test"):
        evaluate_network(network, tiny_config(), tiny_data.test, tiny_data.classes)
