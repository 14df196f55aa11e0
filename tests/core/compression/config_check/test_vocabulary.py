"""Our words for NNCF 2.0.0 are held against NNCF itself."""

import pytest
from nncf.config import schema

from core.compression.config_check import pruning, quantization, sparsity
from core.compression.config_check.grammar import ListOf, OneOrMany, PerScope, Section
from core.compression.config_check.vocabulary import ALGORITHMS, ROOT, TARGET_DEVICES

# In NNCF's schema, but never run here; and read by NNCF without being in its schema.
UNSUPPORTED = {"accuracy_aware_training"}
UNLISTED = {"ignored_scopes", "target_scopes", "scopes_without_shape_matching"}


def keys_of_node(node):
    """Yield every key below a node of ours."""
    if isinstance(node, Section):
        for key, value in node.keys.items():
            yield key
            yield from (f"{key}.{below}" for below in keys_of_node(value))
    elif isinstance(node, OneOrMany):
        yield from keys_of_node(node.one)
        yield from keys_of_node(node.many)
    elif isinstance(node, (ListOf, PerScope)):
        yield from keys_of_node(node.item)


def keys_of_schema(part):
    """Yield every key below a part of NNCF's JSON schema."""
    for key, value in part.get("properties", {}).items():
        yield key
        yield from (f"{key}.{below}" for below in keys_of_schema(value))
    for below in [*part.get("oneOf", []), *part.get("patternProperties", {}).values(), part.get("items")]:
        if isinstance(below, dict):
            yield from keys_of_schema(below)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_algorithms_have_the_keys_of_nncfs_schema(name):
    assert set(keys_of_node(ALGORITHMS[name])) == set(keys_of_schema(schema.REF_VS_ALGO_SCHEMA[name])) - UNSUPPORTED


def test_the_algorithms_are_nncfs():
    assert set(ALGORITHMS) == set(schema.REF_VS_ALGO_SCHEMA)


def test_the_top_has_the_keys_that_nncf_reads():
    known = set(schema.ROOT_NNCF_CONFIG_SCHEMA["properties"])
    assert set(ROOT.keys) == known | UNLISTED
    assert tuple(schema.TARGET_DEVICE_SCHEMA["enum"]) == TARGET_DEVICES


@pytest.mark.parametrize("device", ["CPU", "GPU", "VPU"])
@pytest.mark.parametrize("group", ["weights", "activations"])
def test_limits_are_those_of_nncfs_hardware_tables(device, group):
    import nncf.torch.graph.operator_metatypes as metatypes
    from nncf.common.hardware.config import HWConfigType
    from nncf.torch.hardware.config import PTHWConfig

    table = PTHWConfig.from_json(PTHWConfig.get_path_to_hw_config(HWConfigType.from_str(device)))
    choices = table.get_metatype_vs_quantizer_configs_map(for_weights=group == "weights")[metatypes.Conv2dMetatype]

    limits = quantization.LIMITS[device][group]
    assert {choice.num_bits for choice in choices} == set(limits.bits)
    assert {choice.mode for choice in choices} == set(limits.mode)
    assert {choice.per_channel for choice in choices} == set(limits.per_channel)
    assert {choice.signedness_to_force for choice in choices} - {None} == {limits.signed} - {None}
    signed = {choice.mode for choice in choices if choice.signedness_to_force}
    assert signed == ({"symmetric"} if limits.signed else set())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("start", [0.0, 0.1])
def test_the_biased_curve_needs_three_epochs(start):
    from nncf.common.pruning import schedulers
    least = pruning.LEAST_STEPS["exponential_with_bias"]

    def level_at_the_end(steps):
        a, b, k = schedulers.ExponentialWithBiasPruningScheduler._init_exp(steps - 1, start, 0.4)
        return a * 2.718281828 ** (-k * (steps - 1)) + b

    assert level_at_the_end(least) == pytest.approx(0.4, abs=1e-3)
    assert level_at_the_end(least - 1) != pytest.approx(0.4, abs=1e-3)


def test_defaults_are_nncfs():
    import inspect

    from nncf.common.pruning.schedulers import PruningScheduler
    from nncf.common.sparsity.schedulers import MultiStepSparsityScheduler, SparsityScheduler

    text = inspect.getsource(PruningScheduler)
    assert f"params.get('pruning_target', {pruning.DEFAULT_TARGET})" in text
    assert f"params.get('pruning_steps', {pruning.DEFAULT_STEPS})" in text
    text = inspect.getsource(SparsityScheduler)
    assert f"params.get('sparsity_target', {sparsity.DEFAULT_TARGET})" in text
    assert f"params.get('sparsity_target_epoch', {sparsity.DEFAULT_TARGET_EPOCH})" in text
    assert f"params.get('sparsity_freeze_epoch', {sparsity.DEFAULT_FREEZE_EPOCH})" in text
    text = inspect.getsource(MultiStepSparsityScheduler)
    assert f"params.get('multistep_steps', {sparsity.DEFAULT_STEPS})" in text
    assert f"params.get('multistep_sparsity_levels', {sparsity.DEFAULT_LEVELS})" in text
