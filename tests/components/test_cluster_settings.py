"""Names and values for the cluster, by Kubernetes' rules and the back-end's."""

import dataclasses
import inspect

import pytest

from components.cluster_settings import ClusterSettings, quantity
from core.base.errors import UserError
from core.base.faults import SeveralFaults

SPOT = {"key": "spot", "operator": "Exists", "effect": "NoSchedule"}


def test_defaults_are_those_of_the_pipeline_and_right():
    from pipelines.graph import define_pipeline

    inputs = define_pipeline().component_spec.inputs
    settings = ClusterSettings()
    settings.check()
    assert {field.name: inputs[field.name].default for field in dataclasses.fields(settings)} == dataclasses.asdict(
        settings)


@pytest.mark.parametrize(("text", "value"), [
    ("3", 3), ("500m", 0.5), ("0.5", 0.5), ("11Gi", 11 * 2 ** 30), ("16G", 16e9), ("1500k", 1.5e6), ("1Ti", 2 ** 40)])
def test_quantity(text, value):
    assert quantity(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "-1", "1e3", "3 ", "Gi", "1gi", "1,5", "NaN", "١", "9" * 400])
def test_what_is_no_quantity(text):
    with pytest.raises(ValueError):
        quantity(text)


@pytest.mark.parametrize("given", [
    {"train_cpu": "7500m", "train_memory": "60Gi"}, {"accelerator": "nvidia.com/mig-1g.10gb"},
    {"gpu_node_selector": {"cloud.google.com/gke-accelerator": "nvidia-l4", "spot": "true", "empty": ""}},
    {"gpu_tolerations": [SPOT, {"operator": "Exists"}, {"key": "a", "value": "b"}, {
        "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute",
        "tolerationSeconds": 300.0}]}, {"gpu_node_selector": {f"{'.'.join(['a' * 62] * 4)}/b": "c"}},
    {"s3_secret": "a" * 63, "image_pull_secret": "registry.example.com"}])
def test_values_that_the_back_end_takes(given):
    ClusterSettings(**given).check()


@pytest.mark.parametrize(("name", "value", "said"), [
    ("train_cpu", "", "a number of CPUs"), ("train_cpu", "0", "a number of CPUs"), ("eval_cpu", 3, "a number of CPUs"),
    ("measure_cpu", "3Gi", "a number of CPUs"), ("train_memory", "11", "at least 6Gi"),
    ("train_memory", "4Gi", "at least 6Gi"), ("export_memory", "much", "at least 2Gi"),
    ("accelerator", "", "with an empty one the back-end asks for no GPU"), ("accelerator", "gpu", "a resource name"),
    ("accelerator", "nvidia.com/", "a resource name"),
    ("gpu_node_selector", {"gpu": True}, "A label's value is text"), ("cpu_node_selector", {"gpu": 1}, "is text"),
    ("gpu_node_selector", {"gpu": "a b"}, "is text"), ("gpu_node_selector", {"": "a"}, "no label of Kubernetes"),
    ("gpu_node_selector", {"a/b/c": "d"}, "no label"), ("cpu_node_selector", ["a"], "an object of labels"),
    ("gpu_tolerations", ["spot"], "It is no object"), ("gpu_tolerations", SPOT, "a list of tolerations"),
    ("cpu_tolerations", [{"key": "a", "opreator": "Exists"}], "no 'opreator'"),
    ("cpu_tolerations", [{**SPOT, "effect": "Never"}], "Its effect"), ("cpu_tolerations", [{}], "Without a key"),
    ("cpu_tolerations", [{**SPOT, "value": "x"}], "it has no value"), ("cpu_tolerations", [{"key": 3}], "must be text"),
    ("cpu_tolerations", [{**SPOT, "operator": "Like"}], "Its operator"),
    ("cpu_tolerations", [{**SPOT, "tolerationSeconds": 5}], "NoExecute"),
    ("cpu_tolerations", [{**SPOT, "key": "spot node"}], "Its key"),
    ("cpu_tolerations", [{**SPOT, "key": "a b/c"}], "Its key"),
    ("gpu_tolerations", [{**SPOT, "key": "x" * 300}], "Its key"),
    ("gpu_tolerations", [{**SPOT, "key": f"{'.'.join(['a' * 60] * 5)}/b"}], "Its key"),
    ("gpu_tolerations", [{"key": "spot", "value": "not a label value!"}], "Its value"),
    ("gpu_tolerations", [{"key": "spot", "value": "x" * 64}], "Its value"),
    *(("gpu_tolerations", [{**SPOT, "effect": "NoExecute", "tolerationSeconds": seconds}], "a whole number")
      for seconds in (1e30, float("inf"), float("-inf"), float("nan"), 30.5, True, "5")),
    ("accelerator", "requests.nvidia.com/gpu", "a resource name"), ("accelerator", "node.kubernetes.io/x", "resource"),
    ("accelerator", "kubernetes.io/gpu", "a resource name"), ("accelerator", "a/b/c", "a resource name"),
    ("accelerator", f"{'.'.join(['a' * 60] * 5)}/b", "a resource name"), ("accelerator", None, "a resource name"),
    ("gpu_node_selector", {f"{'.'.join(['a' * 60] * 5)}/b": "c"}, "no label of Kubernetes"),
    ("gpu_node_selector", {1: "a"}, "no label of Kubernetes"), ("cpu_node_selector", {None: "a"}, "no label"),
    ("s3_secret", "", "stops a run where it is empty"), ("s3_secret", "my.secret", "names a volume after it"),
    ("s3_secret", "a" * 64, "at most 63"), ("s3_secret", "Secret", "small letters"),
    ("image_pull_secret", "", "stops a run where it is empty"), ("image_pull_secret", "a_b", "small letters")])
def test_values_that_it_refuses_late_or_never(name, value, said):
    with pytest.raises(UserError) as refused:
        ClusterSettings(**{name: value}).check()
    assert refused.value.thing == f"parameter {name}" and said in refused.value.rule
    assert inspect.cleandoc(refused.value.hint)


def test_all_that_is_wrong_is_named_at_once():
    with pytest.raises(SeveralFaults) as refused:
        ClusterSettings(s3_secret="", accelerator="", train_cpu="x").check()
    assert [fault.thing for fault in refused.value.faults] == [
        "parameter train_cpu", "parameter accelerator", "parameter s3_secret"]


def test_resolve_takes_tolerations_as_the_back_end_passes_them():
    from components.resolve.stage import STAGE

    action = next(action for action in STAGE.build_parser()._actions if "--gpu-tolerations" in action.option_strings)
    assert action.type('[{"key": "spot", "operator": "Exists"}]') == [{"key": "spot", "operator": "Exists"}]
