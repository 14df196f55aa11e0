"""Every rule on an nncf_config: where it is broken, what is said, and that valid configs pass untouched."""

import copy
import logging
import math

import pytest

from core.base.errors import UserError
from core.compression.config_check import ERROR, WARNING, check_nncf_config, epochs_of, require_valid
from core.config.adapt import nncf_config_of
from core.config.loading import REPOSITORY, load_data

OWN_CONFIGS = sorted(path.relative_to(REPOSITORY).as_posix()
                     for path in (REPOSITORY / "configs/nncf_compression").glob("*/*.py"))


def config(*algorithms, **root):
    return {"input_info": {"sample_size": [1, 3, 192, 256]}, "compression": list(algorithms), **root}


def quantization(**keys):
    return {"algorithm": "quantization", **keys}


def pruning(pruning_init=None, **params):
    start = {} if pruning_init is None else {"pruning_init": pruning_init}
    return {"algorithm": "filter_pruning", **start, "params": {"pruning_target": 0.4, **params}}


def sparsity(name="magnitude_sparsity", sparsity_init=None, **params):
    start = {} if sparsity_init is None else {"sparsity_init": sparsity_init}
    return {"algorithm": name, **start, "params": params}


def ranges(**keys):
    return quantization(initializer={"range": keys})


def without(key, **root):
    return {name: value for name, value in config(quantization(), **root).items() if name != key}


# The nncf_config, the place of its one finding, and pieces of what is said; epochs are 10.
BROKEN = {
    "no dict": ([], "nncf_config", "It is a dict"),
    "compression absent": (without("compression"), "compression", "leaves the model uncompressed"),
    "compression empty list": (config(), "compression", "leaves the model uncompressed"),
    "compression empty dict": ({**config(), "compression": {}}, "compression", "leaves the model uncompressed"),
    "compression None": ({**config(), "compression": None}, "compression", "leaves the model uncompressed"),
    "compression of text": ({**config(), "compression": "quantization"}, "compression",
                            "Write such as dict(algorithm='quantization')."),
    "algorithm absent": (config({"params": {}}), "compression[0].algorithm", "is one of quantization"),
    "algorithm misspelt": (config({"algorithm": "quantisation"}), "compression[0].algorithm",
                           "Write 'quantization'."),
    "algorithm of another version": (config({"algorithm": "movement_sparsity"}), "compression[0].algorithm",
                                     "is one of quantization, filter_pruning"),
    "algorithm no text": (config({"algorithm": ["quantization"]}), "compression[0].algorithm", "is one of"),
    "algorithm twice": (config(quantization(), pruning(), quantization(weights={"mode": "symmetric"})),
                        "compression[2].algorithm", "compression[0] is quantization too", "Merge both"),
    "distillation alone": (config({"algorithm": "knowledge_distillation", "type": "mse"}),
                           "compression[0].algorithm", "Distillation alone compresses nothing"),
    "distillation without type": (config(quantization(), {"algorithm": "knowledge_distillation"}),
                                  "compression[1].type", "It must be there"),
    "distillation of another type": (config(quantization(), {"algorithm": "knowledge_distillation", "type": "kl"}),
                                     "compression[1].type", "one of mse, softmax"),
    "distillation of NNCF 2.1": (
        config(quantization(), {"algorithm": "knowledge_distillation", "type": "softmax", "temperature": 2}),
        "compression[1].temperature", "came with NNCF 2.1"),

    "input absent": (without("input_info"), "input_info", "It must be there"),
    "input of text": (config(quantization(), input_info="1,3,300,300"), "input_info", "It is a dict"),
    "size absent": (config(quantization(), input_info={}), "input_info.sample_size", "It must be there"),
    "size a tuple": (config(quantization(), input_info={"sample_size": (1, 3, 192, 256)}), "input_info.sample_size",
                     "Write [1, 3, 192, 256]."),
    "size without batch": (config(quantization(), input_info={"sample_size": [3, 192, 256]}),
                           "input_info.sample_size", "The batch is missing: write [1, 3, 192, 256]."),
    "size with channels last": (config(quantization(), input_info={"sample_size": [2, 192, 256, 3]}),
                                "input_info.sample_size", "write [2, 3, 192, 256]"),
    "size of one channel": (config(quantization(), input_info={"sample_size": [1, 1, 192, 256]}),
                            "input_info.sample_size", "[batch, 3, height, width]"),
    "size with batch 0": (config(quantization(), input_info=[{"sample_size": [0, 3, 192, 256]}]),
                          "input_info[0].sample_size", "at least 1"),
    "size of floats": (config(quantization(), input_info={"sample_size": [1.0, 3.0, 192.0, 256.0]}),
                       "input_info.sample_size", "whole numbers"),
    "size of five": (config(quantization(), input_info={"sample_size": [1, 3, 8, 192, 256]}),
                     "input_info.sample_size", "[batch, 3, height, width]"),
    "size none": (config(quantization(), input_info={"sample_size": None}), "input_info.sample_size",
                  "Write such as [1, 3, 300, 300]."),
    "two inputs": (config(quantization(), input_info=[{"sample_size": [1, 3, 8, 8]}] * 2), "input_info",
                   "A detector has one input"),
    "no input": (config(quantization(), input_info=[]), "input_info", "A detector has one input"),
    "integer image": (config(quantization(), input_info={"sample_size": [1, 3, 8, 8], "type": "long"}),
                      "input_info.type", "one of float"),
    "filler": (config(quantization(), input_info={"sample_size": [1, 3, 8, 8], "filler": "zeroes"}),
               "input_info.filler", "Write 'zeros'."),
    "input key": (config(quantization(), input_info={"sample_size": [1, 3, 8, 8], "sampel": 1}),
                  "input_info.sampel", "no such key"),

    "unknown root key": (config(quantization(), batch_size=8), "batch_size", "ignores this key without a word",
                         "known here are"),
    "misspelt root key": (config(quantization(), target_devise="CPU"), "target_devise",
                          "Did you mean `target_device`?"),
    "root accuracy_aware_training": (config(quantization(), accuracy_aware_training={"mode": "early_exit"}),
                                     "accuracy_aware_training", "2.0.0 ignores it", "max_map_drop"),
    "root key of NNCF 1": (config(quantization(), hw_config_type="cpu"), "hw_config_type", "target_device"),
    "root key no text": ({**config(quantization()), 3: 4}, "[3]", "ignores this key"),
    "device": (config(quantization(), target_device="cpu"), "target_device", "Write 'CPU'."),
    "log_dir none": (config(quantization(), log_dir=None), "log_dir", "remove the key"),
    "learning rate": (config(quantization(), compression_lr_multiplier=-1), "compression_lr_multiplier",
                      "of at least 0"),
    "shape matching": (config(quantization(), disable_shape_matching="yes"), "disable_shape_matching",
                       "Write True or False"),
    "algorithm's accuracy_aware_training": (config({**pruning(), "accuracy_aware_training": {}}),
                                            "compression[0].accuracy_aware_training", "max_map_drop"),

    "steps for samples": (config(ranges(num_init_steps=10)), "compression[0].initializer.range.num_init_steps",
                          "counts samples, not steps", "Write num_init_samples"),
    "adaptation steps": (
        config(quantization(initializer={"batchnorm_adaptation": {"num_bn_adaptation_steps": 30}})),
        "compression[0].initializer.batchnorm_adaptation.num_bn_adaptation_steps", "num_bn_adaptation_samples"),
    "forgetting steps": (
        config({**pruning(), "initializer": {"batchnorm_adaptation": {"num_bn_forget_steps": 5}}}),
        "compression[0].initializer.batchnorm_adaptation.num_bn_forget_steps", "no forgetting step", "Remove it."),
    "samples below 0": (config(ranges(num_init_samples=-1)), "compression[0].initializer.range.num_init_samples",
                        "of at least 0"),
    "half a sample": (config(ranges(num_init_samples=0.5)), "compression[0].initializer.range.num_init_samples",
                      "whole number"),
    "samples as text": (config(ranges(num_init_samples="256")), "compression[0].initializer.range.num_init_samples",
                        "Write a number such as 256."),
    "samples NaN": (config(ranges(num_init_samples=math.nan)), "compression[0].initializer.range.num_init_samples",
                    "whole number"),
    "samples a switch": (config(ranges(num_init_samples=True)), "compression[0].initializer.range.num_init_samples",
                         "whole number"),
    "range type": (config(ranges(type="minmax")), "compression[0].initializer.range.type", "Write 'min_max'."),
    "range type of NNCF 2.1": (config(ranges(type="mixed_min_max")), "compression[0].initializer.range.type",
                               "It came with NNCF 2.1"),
    "range key": (config(ranges(num_samples=3)), "compression[0].initializer.range.num_samples",
                  "Did you mean `num_init_samples`?"),
    "percentiles outside params": (config(ranges(type="percentile", min_percentile=1)),
                                   "compression[0].initializer.range.min_percentile", "Move it into"),
    "percentile above 100": (config(ranges(type="percentile", params={"max_percentile": 101})),
                             "compression[0].initializer.range.params.max_percentile", "from 0 to 100"),
    "percentiles the wrong way round": (
        config(ranges(type="percentile", params={"min_percentile": 90, "max_percentile": 10})),
        "compression[0].initializer.range.params.min_percentile", "(90) is below max_percentile (10)"),
    "percentile above the default": (config(ranges(type="percentile", params={"max_percentile": 0.05})),
                                     "compression[0].initializer.range.params.max_percentile", "(0.1) is below"),
    "percentile key": (config(ranges(type="percentile", params={"min_percent": 1})),
                       "compression[0].initializer.range.params.min_percent", "Did you mean `min_percentile`?"),
    "range for no scope": (config(quantization(initializer={"range": [{"num_init_samples": 8}]})),
                           "compression[0].initializer.range[0].target_scopes", "for which scopes it is"),
    "range group": (
        config(quantization(initializer={"range": [{"target_scopes": ["a"], "target_quantizer_group": "weight"}]})),
        "compression[0].initializer.range[0].target_quantizer_group", "Write 'weights'."),
    "range item key": (
        config(quantization(initializer={"range": [{"target_scopes": ["a"], "num_init_steps": 3}]})),
        "compression[0].initializer.range[0].num_init_steps", "counts samples"),

    "preset": (config(quantization(preset="mixed")), "compression[0].preset", "Presets came with NNCF 2.1",
               "asymmetric activations"),
    "overflow fix": (config(quantization(overflow_fix="disable")), "compression[0].overflow_fix",
                     "disable_saturation_fix=False"),
    "subgraph patterns": (config(quantization(quantizable_subgraph_patterns=[])),
                          "compression[0].quantizable_subgraph_patterns", "Remove it."),
    "standard operators": (config(quantization(export_to_onnx_standard_ops=True)),
                           "compression[0].export_to_onnx_standard_ops", "FakeQuantize"),
    "quantizer mode": (config(quantization(weights={"mode": "symetric"})), "compression[0].weights.mode",
                       "Write 'symmetric'."),
    "misplaced bits": (config(quantization(bits=8)), "compression[0].bits", "Move it into compression[0].weights."),
    "bits of 1": (config(quantization(weights={"bits": 1}), target_device="TRIAL"), "compression[0].weights.bits",
                  "from 2 to 8"),
    "bits of 16": (config(quantization(activations={"bits": 16}), target_device="TRIAL"),
                   "compression[0].activations.bits", "from 2 to 8"),
    "4 bits on a CPU": (config(quantization(weights={"bits": 4})), "compression[0].weights.bits",
                        "For target_device ANY the weights take 8 only.", "target_device='TRIAL'"),
    "2-bit activations on a VPU": (config(quantization(activations={"bits": 2}), target_device="VPU"),
                                   "compression[0].activations.bits", "4 or 8 only"),
    "asymmetric weights on a VPU": (config(quantization(weights={"mode": "asymmetric"}), target_device="VPU"),
                                    "compression[0].weights.mode", "'symmetric' only"),
    "activations per channel": (config(quantization(activations={"per_channel": True}), target_device="GPU"),
                                "compression[0].activations.per_channel", "False only"),
    "signed activations": (config(quantization(activations={"signed": True})), "compression[0].activations.signed",
                           "leave it to the ranges", "Remove the key."),
    "unsigned weights": (config(quantization(weights={"signed": False})), "compression[0].weights.signed",
                         "the weights are signed"),
    "signed asymmetric weights": (config(quantization(weights={"signed": True, "mode": "asymmetric"})),
                                  "compression[0].weights.signed", "only symmetric weights"),
    "overridden activations": (
        config(quantization(scope_overrides={"activations": {"{re}.*neck.*": {"bits": 4}}})),
        "compression[0].scope_overrides.activations['{re}.*neck.*'].bits", "the activations take 8 only"),
    "flat overrides of NNCF 1": (config(quantization(scope_overrides={"{re}.*neck.*": {"bits": 4}})),
                                 "compression[0].scope_overrides['{re}.*neck.*']", "no such key"),
    "override key": (config(quantization(scope_overrides={"activations": {"a": {"bit": 4}}})),
                     "compression[0].scope_overrides.activations.a.bit", "Did you mean `bits`?"),
    "override pattern": (config(quantization(scope_overrides={"activations": {"{re}(": {}}})),
                         "compression[0].scope_overrides.activations", "regular expression"),
    "hawq": (config(quantization(initializer={"precision": {"type": "hawq"}})),
             "compression[0].initializer.precision.type", "need a loss"),
    "precision type": (config(quantization(initializer={"precision": {"type": "hwaq"}})),
                       "compression[0].initializer.precision.type", "Write 'hawq'."),
    "bit widths per scope": (
        config(quantization(initializer={"precision": {"bitwidth_per_scope": [[4, "a"]]}})),
        "compression[0].initializer.precision.bitwidth_per_scope[0]", "bit widths are 8"),
    "bit width without a scope": (
        config(quantization(initializer={"precision": {"bitwidth_per_scope": [[8]]}})),
        "compression[0].initializer.precision.bitwidth_per_scope[0]", "a list of two"),
    "late start": (config(quantization(params={"weights_quant_start_epoch": 10})),
                   "compression[0].params.weights_quant_start_epoch", "10 epochs never reaches", "Write at most 9"),
    "one scale": (config(quantization(activations={"unified_scale_ops": ["a"]})),
                  "compression[0].activations.unified_scale_ops[0]", "is a list"),
    "binarization mode": (config({"algorithm": "binarization", "mode": "xor"}), "compression[0].mode",
                          "Write 'xnor'."),

    "target above 1": (config(pruning(pruning_target=40)), "compression[0].params.pruning_target",
                       "above 0 and below 1", "Write 0.4 where 40 % is meant"),
    "target of 1.5": (config(pruning(pruning_target=1.5)), "compression[0].params.pruning_target",
                      "Write a number such as 0.3."),
    "target 0": (config(pruning(pruning_target=0)), "compression[0].params.pruning_target", "above 0"),
    "target 1": (config(pruning(pruning_target=1)), "compression[0].params.pruning_target", "below 1"),
    "FLOPs target 0": (config({"algorithm": "filter_pruning", "params": {"pruning_flops_target": 0}}),
                       "compression[0].params.pruning_flops_target", "above 0"),
    "two targets": (config(pruning(pruning_flops_target=0.4)), "compression[0].params.pruning_flops_target",
                    "not both", "Keep one"),
    "misplaced target": (config({"algorithm": "filter_pruning", "pruning_target": 0.3,
                                 "params": {"pruning_target": 0.3}}), "compression[0].pruning_target",
                         "Move it into compression[0].params."),
    "start inside params": (config({"algorithm": "filter_pruning",
                                    "params": {"pruning_init": 0.1, "pruning_target": 0.4}}),
                            "compression[0].params.pruning_init", "Move it one level up."),
    "start 1": (config(pruning(pruning_init=1)), "compression[0].pruning_init", "below 1"),
    "start below 0": (config(pruning(pruning_init=-0.1)), "compression[0].pruning_init", "at least 0"),
    "start above the target": (config(pruning(pruning_init=0.5)), "compression[0].pruning_init",
                               "not above pruning_target (0.4)"),
    "start of a curve": (config(pruning(pruning_init=0.3, schedule="exponential_with_bias", pruning_steps=5)),
                         "compression[0].pruning_init", "below 0.75 of pruning_target (0.3)"),
    "pruning schedule": (config(pruning(schedule="exponentional", pruning_steps=5)),
                         "compression[0].params.schedule", "Write 'exponential'."),
    "weight importance": (config(pruning(weight_importance="L1")), "compression[0].params.weight_importance",
                          "Rename it to filter_importance."),
    "filter importance": (config(pruning(filter_importance="l2")), "compression[0].params.filter_importance",
                          "Write 'L2'."),
    "median": (config(pruning(filter_importance="median")), "compression[0].params.filter_importance",
               "L2, L1, geometric_median"),
    "ranking": (config(pruning(interlayer_ranking_type="global")), "compression[0].params.interlayer_ranking_type",
                "unweighted_ranking, learned_ranking"),
    "learned ranking": (config(pruning(interlayer_ranking_type="learned_ranking")),
                        "compression[0].params.interlayer_ranking_type", "load_ranking_coeffs_path"),
    "learned ranking by layer": (
        config(pruning(interlayer_ranking_type="learned_ranking", all_weights=False, load_ranking_coeffs_path="f")),
        "compression[0].params.all_weights", "across layers"),
    "ranking key": (config(pruning(interlayer_ranking_type="learned_ranking", load_ranking_coeffs_path="f",
                                   legr_params={"generation": 3})),
                    "compression[0].params.legr_params.generation", "Did you mean `generations`?"),
    "ranking that is saved": (config(pruning(save_ranking_coeffs_path="/home/user/.bashrc")),
                              "compression[0].params.save_ranking_coeffs_path", "no ranking is learned here"),
    "pruning switch": (config(pruning(all_weights=1)), "compression[0].params.all_weights", "It is a switch"),
    "steps of 0": (config(pruning(schedule="exponential", pruning_steps=0)), "compression[0].params.pruning_steps",
                   "at least 1"),
    "two steps of a curve": (config(pruning(schedule="exponential_with_bias", pruning_steps=2)),
                             "compression[0].params.pruning_steps", "needs at least 3 epochs"),
    "more steps than epochs": (config(pruning(schedule="exponential", pruning_steps=8, num_init_steps=2)),
                               "compression[0].params.pruning_steps", "(2 + 8) are below the 10 epochs",
                               "Write pruning_steps=7 or less"),
    "default steps": (config(pruning(schedule="exponential")), "compression[0].params.pruning_steps",
                      "100 by default", "raise runner.max_epochs above 100"),
    "warm-up only": (config(pruning(schedule="exponential_with_bias", pruning_steps=3, num_init_steps=8)),
                     "compression[0].params.pruning_steps", "fewer num_init_steps"),
    "warm-up beyond the end": (config(pruning(num_init_steps=10)), "compression[0].params.num_init_steps",
                               "the training has 10", "Write at most 9"),

    "sparsity above 1": (config(sparsity(sparsity_target=90, sparsity_target_epoch=5)),
                         "compression[0].params.sparsity_target", "Write 0.9 where 90 % is meant"),
    "start of sparsity": (config(sparsity(sparsity_init=1, sparsity_target_epoch=5)), "compression[0].sparsity_init",
                          "below 1"),
    "sparsity starts above": (config(sparsity(sparsity_init=0.6, sparsity_target_epoch=5)),
                              "compression[0].sparsity_init", "not above sparsity_target (0.5)"),
    "sparsity start inside params": (
        config({"algorithm": "rb_sparsity", "params": {"sparsity_init": 0.1, "sparsity_target_epoch": 5}}),
        "compression[0].params.sparsity_init", "Move it one level up."),
    "sparsity schedule": (config(sparsity(schedule="poly", sparsity_target_epoch=5)),
                          "compression[0].params.schedule", "polynomial"),
    "adaptive magnitude": (config(sparsity(schedule="adaptive")), "compression[0].params.schedule",
                           "only rb_sparsity has"),
    "local levels": (config(sparsity("rb_sparsity", sparsity_level_setting_mode="local", sparsity_target_epoch=5)),
                     "compression[0].params.sparsity_level_setting_mode", "Write 'global'"),
    "importance of weights": (config(sparsity(weight_importance="L2", sparsity_target_epoch=5)),
                              "compression[0].params.weight_importance", "normed_abs, abs"),
    "importance of filters": (config(sparsity(filter_importance="abs", sparsity_target_epoch=5)),
                              "compression[0].params.filter_importance", "Write weight_importance"),
    "default target epoch": (config(sparsity()), "compression[0].params.sparsity_target_epoch", "90 by default",
                             "Write at most 9"),
    "target epoch": (config(sparsity("rb_sparsity", sparsity_target_epoch=10)),
                     "compression[0].params.sparsity_target_epoch", "the training has 10"),
    "an epoch of counting": (config(sparsity(sparsity_target_epoch=9, update_per_optimizer_step=True)),
                             "compression[0].params.sparsity_target_epoch", "after one epoch of counting steps"),
    "frozen early": (config(sparsity(sparsity_target_epoch=5, sparsity_freeze_epoch=5)),
                     "compression[0].params.sparsity_freeze_epoch", "frozen at epoch 5", "Write at least 6."),
    "steps of NNCF 1": (config(sparsity(schedule="multistep", steps=[2], multistep_steps=[2])),
                        "compression[0].params.steps", "Rename it to multistep_steps."),
    "levels of NNCF 1": (config(sparsity(schedule="multistep", sparsity_levels=[0.1, 0.2], multistep_steps=[2])),
                         "compression[0].params.sparsity_levels", "Rename it to multistep_sparsity_levels."),
    "training steps": (config(sparsity(sparsity_target_epoch=5, sparsity_training_steps=6)),
                       "compression[0].params.sparsity_training_steps", "sparsity_freeze_epoch"),
    "raises": (config(sparsity(sparsity_target_epoch=5, sparsity_steps=6)), "compression[0].params.sparsity_steps",
               "sparsity_target_epoch"),
    "levels and steps": (config(sparsity(schedule="multistep", multistep_steps=[2, 4])),
                         "compression[0].params.multistep_sparsity_levels", "Write 3 levels."),
    "level of 1": (config(sparsity(schedule="multistep", multistep_steps=[2], multistep_sparsity_levels=[0.1, 1])),
                   "compression[0].params.multistep_sparsity_levels[1]", "below 1"),
    "last level 0": (config(sparsity(schedule="multistep", multistep_steps=[2], multistep_sparsity_levels=[0.5, 0])),
                     "compression[0].params.multistep_sparsity_levels", "0 is none"),
    "step beyond the end": (config(sparsity(schedule="multistep", multistep_steps=[10])),
                            "compression[0].params.multistep_steps", "Write steps of at most 9"),
    "default step": (config(sparsity(schedule="multistep")), "compression[0].params.multistep_steps",
                     "[90] by default"),
    "frozen before the last step": (
        config(sparsity(schedule="multistep", multistep_steps=[4], sparsity_freeze_epoch=3)),
        "compression[0].params.sparsity_freeze_epoch", "Write at least 5."),

    "scope of no text": (config(quantization(ignored_scopes=["", "a"])), "compression[0].ignored_scopes[0]",
                         "names layers"),
    "scope of nothing": (config(quantization(ignored_scopes="{re}")), "compression[0].ignored_scopes",
                         "names layers"),
    "no regular expression": (config(quantization(ignored_scopes="{re}BasicBlock[0")),
                              "compression[0].ignored_scopes", "unterminated character set", "BasicBlock\\[0\\]"),
    "mark forgotten": (config(pruning(), quantization(ignored_scopes=[".*bbox_head.*"])),
                       "compression[1].ignored_scopes[0]", "Write '{re}.*bbox_head.*'."),
    "scopes a tuple": (config(quantization(ignored_scopes=("a", "b"))), "compression[0].ignored_scopes",
                       "Write ['a', 'b']."),
    "no targets": (config(quantization(target_scopes=[])), "compression[0].target_scopes", "nothing is compressed"),
    "no target weights": (config(quantization(weights={"target_scopes": []})),
                          "compression[0].weights.target_scopes", "nothing is compressed"),
    "a text beside a list": (config(quantization(ignored_scopes=["a"]), ignored_scopes="b"), "ignored_scopes",
                             "Write ['b']."),
    "a list beside a text": (config(quantization(ignored_scopes="a"), ignored_scopes=["b"]),
                             "compression[0].ignored_scopes", "Write ['a']."),
    "two kinds of targets": (config(quantization(target_scopes=["a"]), target_scopes=["b"]),
                             "compression[0].target_scopes", "Keep one of both."),
}

# The same for what stops nobody.
DOUBTFUL = {
    "no samples": (config(ranges(num_init_samples=0)), "compression[0].initializer.range.num_init_samples",
                   "no range is estimated"),
    "unused percentiles": (config(ranges(params={"min_percentile": 1})), "compression[0].initializer.range.params",
                           "mean_min_max has no percentiles"),
    "no pruning target": (config({"algorithm": "filter_pruning"}), "compression[0].params.pruning_target",
                          "prunes 50% of the filters"),
    "unused ranking": (config(pruning(legr_params={"generations": 3})), "compression[0].params.legr_params",
                       "Only learned_ranking reads them."),
    "weight overrides": (config(quantization(scope_overrides={"weights": {"a": {"bits": 4}}})),
                         "compression[0].scope_overrides.weights", "ignores overrides of weights"),
    "range in overrides": (
        config(quantization(scope_overrides={"activations": {"a": {"initializer": {"range": {}}}}})),
        "compression[0].scope_overrides.activations.a.initializer", "ignores it in overrides"),
    "example script's key": (
        config(quantization(params={"base_lr": 0.1, "weights_quant_start_epoch": 1})),
        "compression[0].params.base_lr", "example scripts"),
    "targets and ignored": (config(quantization(target_scopes=["a"], ignored_scopes=["b"])),
                            "compression[0].ignored_scopes", "ignores nothing among the weights"),
    "leaking scopes": (config(quantization(ignored_scopes=["a"]), pruning(), ignored_scopes=["b"]),
                       "compression[0].ignored_scopes", "the algorithms after this one"),
}

VALID = {
    "least": config(quantization()),
    "one algorithm without a list": {"input_info": [{"sample_size": [4, 3, 8, 8]}], "compression": quantization()},
    "whole floats": config(ranges(num_init_samples=256.0)),
    "many keys": config(quantization(
        weights={"mode": "asymmetric", "bits": 8, "per_channel": False, "ignored_scopes": "{re}.*neck.*"},
        activations={"mode": "asymmetric", "unified_scale_ops": [["a", "b"]], "logarithm_scale": True},
        initializer={"range": [{"type": "mean_percentile", "target_scopes": ["{re}.*"], "num_init_samples": 8,
                                "params": {"min_percentile": 1, "max_percentile": 99}}],
                     "batchnorm_adaptation": {"num_bn_adaptation_samples": 0}},
        params={"activations_quant_start_epoch": 0, "weights_quant_start_epoch": 9},
        export_to_onnx_standard_ops=False, disable_saturation_fix=True),
        target_device="CPU", compression_lr_multiplier=10, log_dir="logs", disable_shape_matching=False),
    "4 bits for trial": config(quantization(
        weights={"bits": 4, "signed": True}, activations={"per_channel": True, "signed": False},
        scope_overrides={"weights": {"{re}.*neck.*": {"bits": 2}}}), target_device="TRIAL"),
    "4 bits on a VPU": config(quantization(weights={"bits": 4}), target_device="VPU"),
    "manual precision": config(quantization(initializer={"precision": {"bitwidth_per_scope": [[8, "a"]]}})),
    "pruning at once": config(pruning()),
    "the latest exponential": config(pruning(schedule="exponential", num_init_steps=2, pruning_steps=7)),
    "the shortest curve": config(pruning(schedule="exponential_with_bias", pruning_steps=3)),
    "FLOPs": config({"algorithm": "filter_pruning", "pruning_init": 0.1,
                     "params": {"pruning_flops_target": 0.3, "all_weights": True, "filter_importance": "L1"}}),
    "a ranking from a file": config(pruning(interlayer_ranking_type="learned_ranking",
                                            load_ranking_coeffs_path="file.json")),
    "all together": config(quantization(), pruning(), {"algorithm": "knowledge_distillation", "type": "mse"}),
    "magnitude": config(sparsity(sparsity_init=0.1, sparsity_target_epoch=9, weight_importance="abs")),
    "counted steps": config(sparsity(sparsity_target_epoch=9, update_per_optimizer_step=True, steps_per_epoch=26)),
    "levels": config(sparsity(schedule="multistep", multistep_steps=[3, 9],
                              multistep_sparsity_levels=[0, 0.3, 0.6])),
    "adaptive": config(sparsity("rb_sparsity", schedule="adaptive", patience=2)),
    "constant": config({"algorithm": "const_sparsity", "ignored_scopes": ["a"]}),
    "binarization": config({"algorithm": "binarization", "mode": "xnor"}),
    "scopes at the top": config(pruning(), quantization(ignored_scopes=["a"]), ignored_scopes=["b"],
                                scopes_without_shape_matching=["c"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_each_rule_names_place_and_way_out(case):
    nncf_config, path, *said = BROKEN[case]
    findings = check_nncf_config(nncf_config, epochs=10)
    errors = [finding for finding in findings if finding.severity == ERROR]
    assert path in [finding.path for finding in errors]
    finding = errors[[finding.path for finding in errors].index(path)]
    assert all(piece in f"{finding.rule} {finding.replacement}" for piece in said), str(finding)
    assert len(errors) == 1, [str(error) for error in errors]
    assert str(finding).startswith(f"{path} = ") and finding.rule.endswith(".") and finding.replacement[-1] in ".?"


@pytest.mark.parametrize("case", DOUBTFUL)
def test_what_is_doubtful_is_a_warning(case):
    nncf_config, path, said = DOUBTFUL[case]
    findings = check_nncf_config(nncf_config, epochs=10)
    assert [(finding.path, finding.severity) for finding in findings] == [(path, WARNING)]
    assert said in findings[0].rule
    require_valid(nncf_config, epochs=10)


@pytest.mark.parametrize("case", VALID)
def test_valid_configs_pass(case):
    assert check_nncf_config(VALID[case], epochs=10) == []


@pytest.mark.parametrize("case", sorted({**BROKEN, **VALID, **DOUBTFUL}))
def test_the_config_is_never_changed(case):
    table = {**BROKEN, **DOUBTFUL}
    nncf_config = table[case][0] if case in table else VALID[case]
    before = copy.deepcopy(nncf_config)
    check_nncf_config(nncf_config, epochs=10)
    # By repr, since NaN is not equal to itself; it also tells tuples from lists.
    assert repr(nncf_config) == repr(before)


JUNK = (None, True, -1, 10 ** 30, 0.5, math.nan, math.inf, "", "{re}(", "quantization", [], [None], (1, 2), {}, {3: []},
        {"algorithm": {}}, [[[]]], object())


def places(node, path=()):
    """Yield the path of every value in a config."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield (*path, key)
        yield from places(value, (*path, key))


@pytest.mark.parametrize("case", VALID)
def test_rubbish_anywhere_is_told_not_met_with_an_exception(case):
    for *path, last in places(VALID[case]):
        for junk in JUNK:
            nncf_config = copy.deepcopy(VALID[case])
            node = nncf_config
            for key in path:
                node = node[key]
            node[last] = junk
            findings = check_nncf_config(nncf_config, epochs=10)
            assert all(str(finding) for finding in findings)


def test_schedules_are_not_checked_without_epochs():
    late = config(pruning(schedule="exponential"), sparsity(), quantization(params={"weights_quant_start_epoch": 10}))
    assert check_nncf_config(late) == []
    assert len(check_nncf_config(late, epochs=10)) == 3


def test_all_errors_are_found_at_once():
    findings = check_nncf_config({"compression": [pruning(pruning_target=2, schedule="linear"), quantization(bits=8)],
                                  "target_device": "NPU"})
    assert {finding.path for finding in findings} == {
        "input_info", "compression[0].params.pruning_target", "compression[0].params.schedule",
        "compression[1].bits", "target_device"}


def test_a_long_value_is_cut_in_the_message():
    finding, = check_nncf_config(config(quantization(), notes="x" * 1000))
    assert finding.value == "x" * 1000
    assert len(str(finding)) < 500


def test_require_valid_lists_every_error_and_logs_warnings(caplog):
    nncf_config = config(pruning(pruning_target=1.5, legr_params={"generations": 3}), quantization(preset="mixed"))
    with caplog.at_level(logging.WARNING), pytest.raises(UserError) as caught:
        require_valid(nncf_config, epochs=10)
    message = str(caught.value)
    assert "2 errors" in message
    assert "1. compression[0].params.pruning_target = 1.5: A pruning level is a number above 0 and below 1." in message
    assert "2. compression[1].preset = 'mixed'" in message
    assert "core.compression.check CONFIG --migrate" in message
    assert "legr_params" not in message
    assert "compression[0].params.legr_params" in caplog.text


def test_require_valid_is_silent_on_a_valid_config(caplog):
    require_valid(config(quantization()), epochs=1)
    assert caplog.text == ""


@pytest.mark.parametrize("mmdet_config, epochs", [
    ({"runner": {"type": "EpochBasedRunner", "max_epochs": 12}}, 12),
    ({"runner": {"type": "IterBasedRunner", "max_iters": 1000}}, None),
    ({"total_epochs": 7}, 7),
    ({"runner": None, "total_epochs": 7}, 7),
    ({}, None)])
def test_epochs_of_a_config(mmdet_config, epochs):
    assert epochs_of(mmdet_config) == epochs


@pytest.mark.parametrize("path", OWN_CONFIGS)
def test_own_configs_are_valid(path):
    mmdet_config = load_data(path)
    nncf_config = nncf_config_of(mmdet_config)
    assert nncf_config is not None
    assert check_nncf_config(nncf_config, epochs_of(mmdet_config)) == []


def test_there_are_own_configs():
    assert OWN_CONFIGS
