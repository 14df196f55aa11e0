"""The keys that NNCF 2.0.0 reads and what they may be, with the bounds and choices its own schema leaves out.

Read from NNCF 2.0.0's config/schema.py and from the code that uses the values: torch/quantization, torch/pruning,
torch/sparsity, torch/knowledge_distillation and common/{pruning,sparsity}/schedulers.py.
"""

from collections.abc import Mapping
from typing import Any

from core.compression.config_check.finding import ABSENT, Finding
from core.compression.config_check.grammar import (
    Choice,
    Flag,
    ListOf,
    Node,
    Number,
    OneOrMany,
    Pair,
    PerScope,
    Problem,
    Scopes,
    Section,
    Text,
)

TARGET_DEVICES = ("ANY", "CPU", "GPU", "VPU", "TRIAL")
QUANTIZER_GROUPS = ("weights", "activations")
PERCENTILE_TYPES = ("percentile", "mean_percentile")


def _share(meaning: str) -> Number:
    return Number(meaning, high=1, low_excluded=True, high_excluded=True, example=0.3)


def _level(meaning: str) -> Number:
    return Number(meaning, high=1, high_excluded=True, example=0)


def _count(meaning: str, low: int = 0, example: int = 1) -> Number:
    return Number(meaning, low, whole=True, example=example)


def _steps_to_samples(new: str) -> Problem:
    return ("NNCF 2.0.0 counts samples, not steps, and would take its default.",
            f"Write {new}: the steps times the batch size (data.samples_per_gpu).")


_SCOPED: dict[str, Node] = {"ignored_scopes": Scopes(), "target_scopes": Scopes(targets=True)}
_MULTIPLIER = Number("A multiplier of the learning rate")
_COMMON_OTHERS = {"accuracy_aware_training": (
    "NNCF's accuracy-aware loop is not run here, and in 2.0.0 it never covers quantization.",
    "Remove it; the parameter max_map_drop limits the loss of accuracy.")}

_NO_FORGETTING = ("NNCF 2.0 has no forgetting step any more.", "Remove it.")
_BATCHNORM = Section({"num_bn_adaptation_samples": _count("A count of samples", example=512)},
                     {"num_bn_adaptation_steps": _steps_to_samples("num_bn_adaptation_samples"),
                      "num_bn_forget_steps": _NO_FORGETTING, "num_bn_forget_samples": _NO_FORGETTING})
_INITIALIZER = Section({"batchnorm_adaptation": _BATCHNORM})

_PERCENTILE = Number("A percentile", high=100, example=99.9)
_INTO_PARAMS = ("NNCF 2.0.0 reads percentiles in params only.", "Move it into params.")
_RANGE_KEYS: dict[str, Node] = {
    "num_init_samples": _count("A count of samples", example=256),
    "type": Choice("The type of range estimation",
                   ("mean_min_max", "min_max", "threesigma", *PERCENTILE_TYPES),
                   {"mixed_min_max": "It came with NNCF 2.1; write 'mean_min_max'."}),
    "params": Section({"min_percentile": _PERCENTILE, "max_percentile": _PERCENTILE})}
_RANGE_OTHERS = {"num_init_steps": _steps_to_samples("num_init_samples"),
                 "min_percentile": _INTO_PARAMS, "max_percentile": _INTO_PARAMS}
_RANGE = OneOrMany(
    Section(_RANGE_KEYS, _RANGE_OTHERS),
    Section({**_RANGE_KEYS, **_SCOPED, "target_quantizer_group": Choice("A group of quantizers", QUANTIZER_GROUPS)},
            _RANGE_OTHERS))

_BITS = Number("A bit width", 2, 8, whole=True, example=8)
_QUANTIZER: dict[str, Node] = {"mode": Choice("A quantizer's mode", ("symmetric", "asymmetric")), "bits": _BITS,
                               "signed": Flag(), "per_channel": Flag()}
_GROUP: dict[str, Node] = {**_QUANTIZER, **_SCOPED, "logarithm_scale": Flag()}
_OVERRIDES = PerScope(Section({**_QUANTIZER, "initializer": Section({"range": _RANGE})}))
_PRECISION = Section({
    "type": Choice("The type of precision initialisation", ("manual", "hawq", "autoq")),
    "bits": ListOf("The choice of bit widths", _BITS),
    "num_data_points": _count("A count", 1), "iter_number": _count("A count", 1),
    "warmup_iter_number": _count("A count"),
    "tolerance": Number("A tolerance", low_excluded=True, example=1e-4),
    "compression_ratio": Number("A compression ratio", low_excluded=True, example=1.5),
    "eval_subset_ratio": Number("A share of the data", high=1, low_excluded=True, example=1),
    "bitwidth_per_scope": ListOf("It", Pair("A bit width and its scope", _BITS, Text("A scope"))),
    "traces_per_layer_path": Text("A path"), "dump_init_precision_data": Flag(),
    "bitwidth_assignment_mode": Choice("The assignment mode", ("strict", "liberal"))})
_QUANTIZATION_INITIALIZER = Section({"batchnorm_adaptation": _BATCHNORM, "range": _RANGE, "precision": _PRECISION})

# What NNCF's own example scripts read and the library does not.
STAGED_UNREAD = ("batch_multiplier", "lr_poly_drop_start_epoch", "lr_poly_drop_duration_epochs",
                 "disable_wd_start_epoch", "base_lr", "base_wd")
STAGED_EPOCHS = ("activations_quant_start_epoch", "weights_quant_start_epoch")
_STAGED = Section({**{name: Number("It") for name in STAGED_UNREAD},
                   **{name: _count("An epoch's index") for name in STAGED_EPOCHS}})


def _algorithm(keys: Mapping[str, Node], others: Mapping[str, Problem] | None = None) -> Section:
    return Section({"algorithm": Text("An algorithm"), **keys, **_SCOPED}, {**_COMMON_OTHERS, **(others or {})})


_QUANTIZATION = _algorithm(
    {"compression_lr_multiplier": _MULTIPLIER,
     "initializer": _QUANTIZATION_INITIALIZER, "weights": Section(_GROUP),
     "activations": Section({**_GROUP, "unified_scale_ops": ListOf(
         "The operations of one scale", ListOf("A group of operations", Text("An operation")))}),
     "quantize_inputs": Flag(), "quantize_outputs": Flag(),
     "scope_overrides": Section({group: _OVERRIDES for group in QUANTIZER_GROUPS}),
     "export_to_onnx_standard_ops": Flag(), "disable_saturation_fix": Flag(), "params": _STAGED},
    {"preset": ("Presets came with NNCF 2.1.",
                "Set the modes: 'performance' is symmetric weights and activations, 'mixed' is symmetric weights and "
                "asymmetric activations."),
     "overflow_fix": ("It came with NNCF 2.1; 2.0.0 knows the fix for all layers or none.",
                      "Write disable_saturation_fix=False for 'enable' (the default), True for "
                      "'disable'; 'first_layer_only' has no counterpart."),
     "quantizable_subgraph_patterns": ("NNCF 2.0 chooses the places of quantizers itself.", "Remove it.")})
_BINARIZATION = _algorithm(
    {"compression_lr_multiplier": _MULTIPLIER, "initializer": _QUANTIZATION_INITIALIZER,
     "mode": Choice("The mode of binarization", ("xnor", "dorefa")), "params": _STAGED})

_FILTER_PRUNING = _algorithm(
    {"initializer": _INITIALIZER, "pruning_init": _level("A pruning level"),
     "params": Section(
         {"schedule": Choice("The schedule", ("baseline", "exponential", "exponential_with_bias")),
          "pruning_target": _share("A pruning level"), "pruning_flops_target": _share("A share of the FLOPs"),
          "num_init_steps": _count("A count of epochs", example=0),
          "pruning_steps": _count("A count of epochs", 1, example=10),
          "filter_importance": Choice("The filters' importance", ("L2", "L1", "geometric_median")),
          "interlayer_ranking_type": Choice("The ranking across layers", ("unweighted_ranking", "learned_ranking")),
          "all_weights": Flag(), "prune_first_conv": Flag(), "prune_last_conv": Flag(),
          "prune_downsample_convs": Flag(), "prune_batch_norms": Flag(), "zero_grad": Flag(),
          "save_ranking_coeffs_path": Text("A path"), "load_ranking_coeffs_path": Text("A path"),
          "legr_params": Section({"generations": _count("A count", 1), "train_steps": _count("A count", 1),
                                  "max_pruning": _share("A pruning level"), "random_seed": _count("A seed")})},
         {"weight_importance": ("That is its name in NNCF 1.x and in sparsity.", "Rename it to filter_importance."),
          "pruning_init": ("NNCF 2.0.0 reads it beside params, not in it.", "Move it one level up.")})})

_SPARSITY_PARAMS: dict[str, Node] = {
    "schedule": Choice("The schedule", ("polynomial", "exponential", "adaptive", "multistep")),
    "patience": _count("A count of epochs", 1), "power": Number("A power", low_excluded=True, example=0.9),
    "concave": Flag(), "sparsity_target": _share("A sparsity level"),
    "sparsity_target_epoch": _count("An epoch's index", example=10),
    "sparsity_freeze_epoch": _count("An epoch's index", example=20),
    "update_per_optimizer_step": Flag(), "steps_per_epoch": _count("A count of steps", 1, example=100),
    "multistep_steps": ListOf("The steps", _count("An epoch's index")),
    "multistep_sparsity_levels": ListOf("The levels", _level("A sparsity level")),
    "sparsity_level_setting_mode": Choice("The mode of setting levels", ("global", "local"))}
_SPARSITY_OTHERS = {
    "steps": ("NNCF 1.x called it so.", "Rename it to multistep_steps."),
    "sparsity_levels": ("NNCF 1.x called it so.", "Rename it to multistep_sparsity_levels."),
    "sparsity_init": ("NNCF 2.0.0 reads it beside params, not in it.", "Move it one level up."),
    "sparsity_steps": ("NNCF 1.x counted the raises of the level.",
                       "Write sparsity_target_epoch: the epoch from which the target holds."),
    "sparsity_training_steps": ("NNCF 1.x called it so.",
                                "Write sparsity_freeze_epoch: the epoch from which the mask is frozen.")}
_IMPORTANCE = Choice("The weights' importance", ("normed_abs", "abs"))
_MAGNITUDE_SPARSITY = _algorithm(
    {"sparsity_init": _level("A sparsity level"), "initializer": _INITIALIZER,
     "params": Section({**_SPARSITY_PARAMS, "weight_importance": _IMPORTANCE},
                       {**_SPARSITY_OTHERS, "filter_importance": (
                           "That is its name in filter pruning.", "Write weight_importance: normed_abs or abs.")})})
_RB_SPARSITY = _algorithm(
    {"compression_lr_multiplier": _MULTIPLIER, "sparsity_init": _level("A sparsity level"),
     "params": Section(_SPARSITY_PARAMS, _SPARSITY_OTHERS)})

ALGORITHMS: Mapping[str, Section] = {
    "quantization": _QUANTIZATION, "filter_pruning": _FILTER_PRUNING, "magnitude_sparsity": _MAGNITUDE_SPARSITY,
    "rb_sparsity": _RB_SPARSITY, "const_sparsity": _algorithm({}),
    "knowledge_distillation": Section(
        {"algorithm": Text("An algorithm"), "type": Choice("The loss of distillation", ("mse", "softmax"))},
        {name: ("It came with NNCF 2.1.", "Remove it.") for name in ("scale", "temperature")},
        required=("type",)),
    "binarization": _BINARIZATION}


class _Algorithm(Node):
    """One algorithm, read by the section that its name chooses."""

    _name = Choice("An algorithm", tuple(ALGORITHMS))

    def problem(self, value: Any) -> Problem | None:
        return None if isinstance(value, dict) else ("It is a dict.", "Write such as dict(algorithm='quantization').")

    def parts(self, value: Any, path: str, findings: list[Finding]) -> Any:
        name = self._name.read(value.get("algorithm", ABSENT), f"{path}.algorithm", findings)
        return None if name is None else ALGORITHMS[name].read(value, path, findings)


class _SampleSize(Node):
    """The shape of the network's input, [N, 3, H, W]."""

    def problem(self, value: Any) -> Problem | None:
        rule = "The input of a detector is [batch, 3, height, width], whole numbers of at least 1."
        if not isinstance(value, list):
            return rule, f"Write {list(value)}." if isinstance(value, tuple) else "Write such as [1, 3, 300, 300]."
        if all(type(side) is int and side >= 1 for side in value):
            if len(value) == 4 and value[1] == 3:
                return None
            if len(value) == 4 and value[3] == 3:
                return rule, f"Channels come before height and width: write {[value[0], 3, *value[1:3]]}."
            if len(value) == 3 and value[0] == 3:
                return rule, f"The batch is missing: write {[1, *value]}."
        return rule, "Write such as [1, 3, 300, 300]."


class _Compression(Node):
    """One algorithm or a list of them; at least one."""

    def problem(self, value: Any) -> Problem | None:
        return None if value and value is not ABSENT else (
            "Without an algorithm NNCF leaves the model uncompressed.",
            "Add one, such as dict(algorithm='quantization'); for plain training take nncf_config out.")

    def parts(self, value: Any, path: str, findings: list[Finding]) -> Any:
        return OneOrMany(_Algorithm(), _Algorithm()).read(value, path, findings)


class _InputInfo(Node):
    """The one input of a detector, or a list of it."""

    def problem(self, value: Any) -> Problem | None:
        return None if not isinstance(value, list) or len(value) == 1 else (
            "A detector has one input, the image.", "Write one dict, such as dict(sample_size=[1, 3, 300, 300]).")

    def parts(self, value: Any, path: str, findings: list[Finding]) -> Any:
        return OneOrMany(_INPUT, _INPUT).read(value, path, findings)


_INPUT = Section({
    "sample_size": _SampleSize(), "keyword": Text("The name of an argument"),
    "type": Choice("The type of an image", ("float",)), "filler": Choice("The filler", ("ones", "zeros", "random"))},
    required=("sample_size",))
# NNCF's schema lets any other key pass at the top, and create_compressed_model reads three that it does not list.
ROOT = Section(
    {"input_info": _InputInfo(), "compression": _Compression(),
     "target_device": Choice("The target device", TARGET_DEVICES), "compression_lr_multiplier": _MULTIPLIER,
     "disable_shape_matching": Flag(), "log_dir": Text("A folder"), **_SCOPED,
     "scopes_without_shape_matching": ListOf("It", Text("A scope"))},
    {"accuracy_aware_training": (
        "NNCF reads it here from 2.1 on; 2.0.0 ignores it, and its loop is not run here.",
        "Remove it; the parameter max_map_drop limits the loss of accuracy."),
     "hw_config_type": ("NNCF 1.x called it so.", "Write target_device, such as 'CPU'.")},
    required=("input_info",), unread="NNCF 2.0.0 ignores this key without a word.")
