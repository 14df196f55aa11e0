import io

import pytest

torch = pytest.importorskip("torch", reason="needs the train environment")

from core.export.conversion import fast_conversion, share_constants  # noqa: E402


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(*(torch.nn.Conv2d(2, 2, 3, padding=1) for _ in range(4)))

    def forward(self, image):
        found = self.layers(image)
        return found.flatten(1).sum(dim=1, keepdim=True) + found[:, 1, 0, :1] * 1.0 + 1


def traced_function():
    """The graph of a function in which one stands as an int and as a bool, each several times."""
    weight = torch.rand(2, 2, 3, 3)

    def function(image):
        found = torch.nn.functional.conv2d(torch.nn.functional.conv2d(image, weight, padding=1), weight, padding=1)
        return found.sum(dim=1, keepdim=True) + found[:, 1:, 1:2, :1] * 1.0 + 1

    return torch.jit.trace(function, torch.rand(1, 2, 8, 8)).graph


def constants(graph):
    return [(str(node.output().type()), getattr(node, node.kindOf("value"))("value") if node.hasAttribute("value")
             else None) for node in graph.nodes()
            if node.kind() == "prim::Constant" and (not node.hasAttribute("value") or node.kindOf("value") != "t")]


def test_equal_constants_become_one_and_the_result_stays():
    graph, image = traced_function(), torch.rand(1, 2, 8, 8)
    before, expected = constants(graph), torch._C._create_function_from_graph("before", graph.copy())(image)
    share_constants(graph)
    after = constants(graph)
    assert len(after) == len(set(after)) < 0.5 * len(before)
    assert set(map(repr, after)) == set(map(repr, before))
    assert torch.equal(torch._C._create_function_from_graph("after", graph)(image), expected)


def test_true_and_one_stay_apart():
    graph = traced_function()
    share_constants(graph)
    assert sorted(kind for kind, value in constants(graph) if value == 1) == ["bool", "int"]


def test_the_exported_graph_computes_the_same(tmp_path):
    onnx = pytest.importorskip("onnx")
    network, image = Net().eval(), torch.rand(1, 2, 8, 8)
    graphs = []
    for shared in (False, True):
        stream = io.BytesIO()
        if shared:
            with fast_conversion():
                torch.onnx.export(network, image, stream, opset_version=11)
        else:
            torch.onnx.export(network, image, stream, opset_version=11)
        graphs.append(onnx.load_from_string(stream.getvalue()).graph)
    operators = [[node.op_type for node in graph.node if node.op_type != "Constant"] for graph in graphs]
    assert operators[0] == operators[1]
    assert len(graphs[1].node) <= len(graphs[0].node)


def test_torch_is_left_as_it_was():
    from torch.onnx import symbolic_registry

    before = torch._C._jit_pass_onnx, symbolic_registry.register_version
    with pytest.raises(KeyError), fast_conversion():
        assert torch._C._jit_pass_onnx is not before[0] and symbolic_registry.register_version is not before[1]
        raise KeyError
    assert (torch._C._jit_pass_onnx, symbolic_registry.register_version) == before
