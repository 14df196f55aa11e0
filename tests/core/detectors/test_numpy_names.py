"""Libra R-CNN's sampler and repeated images of rare classes, with a numpy that has no ``np.int``."""

import numpy as np
import torch
from mmdet.core.bbox.samplers import IoUBalancedNegSampler
from mmdet.datasets import CustomDataset

from core.detectors.numpy_names import restore_numpy_names


class Assigned:
    gt_inds = torch.zeros(40, dtype=torch.long)
    max_overlaps = torch.linspace(0, 0.4, 40)


def test_negatives_are_sampled_by_overlap():
    restore_numpy_names()
    sampler = IoUBalancedNegSampler(num=20, pos_fraction=0.5, floor_thr=0.1, floor_fraction=0.5)
    chosen = sampler._sample_neg(Assigned(), 20)
    assert len(set(chosen.tolist())) == 20


def test_the_classes_of_an_image_are_counted():
    restore_numpy_names()
    dataset = CustomDataset.__new__(CustomDataset)
    dataset.data_infos = [{"ann": {"labels": np.array([2, 0])}}]
    assert dataset.get_cat_ids(0) == [2, 0]
