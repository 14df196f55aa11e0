
import torch

from core.detectors.graph import tensors
from core.dry_run.trials import LARGEST_GRADIENT, bound_gradients, enable_zero_branches


def test_gradients_whose_norm_would_overflow_still_move_the_weights():
    layer = torch.nn.Linear(3, 2)
    layer.bias.requires_grad_(False)
    bound_gradients(layer)
    (layer(torch.full((1, 3), 1e30)) * torch.tensor([1e5, -1e5])).sum().backward()
    assert layer.weight.grad.tolist() == [[LARGEST_GRADIENT] * 3, [-LARGEST_GRADIENT] * 3]
    assert layer.bias.grad is None
    assert torch.isfinite(torch.nn.utils.clip_grad_norm_(list(layer.parameters()), 35))


def test_zero_normalisations_are_woken_and_others_stay():
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(2), torch.nn.BatchNorm2d(2), torch.nn.Conv2d(2, 2, 1))
    for layer, value in ((0, [0.0, 0.0]), (1, [0.0, 3.0])):
        network[layer].weight.data = torch.tensor(value)
    network[2].weight.data = torch.zeros(2, 2, 1, 1)
    enable_zero_branches(network)
    assert network[0].weight.tolist() == [1, 1] and network[1].weight.tolist() == [0, 3]
    assert not network[2].weight.detach().any()


def test_tensors_are_found_in_nested_sequences():
    first, second = torch.zeros(1), torch.ones(1)
    assert [float(tensor) for tensor in tensors([(first, [second]), "x", None])] == [0.0, 1.0]
