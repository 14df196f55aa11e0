import pytest

from core.compression.structure import CONV, LayerCounts, StructureCounts
from core.openvino import counts
from core.openvino.counts import table


def network(filters, layers=2):
    first = LayerCounts("stem", CONV, 3, filters, 1, 27 * filters, 20 * filters, 54 * filters)
    second = LayerCounts("head", CONV, filters, 4, 1, 4 * filters, 4 * filters, 8 * filters)
    return StructureCounts((first, second)[:layers], 31 * filters, 24 * filters)


def test_totals_and_changed_layers_stand_beside_each_other():
    lines = [" ".join(line.split()) for line in table(network(16), network(8))]
    assert lines[1:5] == ["parameters 496 248 50.0%", "not zero 384 192 50.0%", "FLOPs 992 496 50.0%",
                          "channels 20 12 60.0%"]
    assert lines[5:] == ["2 of 2 layers have other channels:", "stem: in 3 -> 3, out 16 -> 8",
                         "head: in 16 -> 8, out 4 -> 4"]


def test_the_same_network_has_no_changed_layer():
    assert list(table(network(8), network(8)))[-1] == "0 of 2 layers have other channels"


def test_different_networks_have_totals_only():
    assert "2 and 1 layers" in list(table(network(8), network(8, layers=1)))[-1]


@pytest.mark.parametrize("name", ["absent.onnx", "absent.xml", "model.bin"])
def test_what_is_no_model_is_refused(name, tmp_path, capsys):
    assert counts.main([str(tmp_path / name), str(tmp_path / name)]) == 2
    assert name in capsys.readouterr().err
