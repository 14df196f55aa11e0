"""A compressed detector from its checkpoint, whose compression state is checked before NNCF restores it."""

from collections.abc import Mapping
from typing import Any

from core.base.errors import NotRestored
from core.base.text import bounded_repr
from core.checkpoint.checkpoint import Checkpoint
from core.checkpoint.dtypes import check_dtypes
from core.compression.state import STAGE, state_to_data
from core.compression.wrap import CompressedDetector, compress_detector

BUILDER, CONTROLLER = "builder_state", "ctrl_state"
"""NNCF's keys (nncf/common/compression.py, BaseController)."""
_MOST_STEPS = 10 ** 9
_BITS = {"type": "integer", "minimum": 2, "maximum": 16}
_COUNT = {"type": "integer", "minimum": 0, "maximum": 10 ** 6}
_STEP = {"type": "integer", "minimum": -1, "maximum": _MOST_STEPS}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": sorted(properties), "properties": properties}


_POINT = _object(
    # That of an activation also has an input_port_id.
    qip=_object(target_node_name={"type": "string"}),
    qip_class={"enum": ["ActivationQuantizationInsertionPoint", "WeightQuantizationInsertionPoint"]},
    qconfig=_object(num_bits=_BITS, mode={"enum": ["symmetric", "asymmetric"]}, per_channel={"type": "boolean"},
                    signedness_to_force={"type": ["boolean", "null"]}),
    directly_quantized_operator_node_names={"type": "array", "items": {"type": "string"}})
_GROUPS = {"type": "object", "additionalProperties": {"type": "array", "items": _COUNT}}
_QUANTIZATION = _object(
    quantizer_setup=_object(quantization_points={"type": "object", "additionalProperties": _POINT},
                            unified_scale_groups=_GROUPS, shared_input_operation_set_groups=_GROUPS),
    build_time_metric_infos=_object(aq_potential_num=_COUNT, wq_potential_num=_COUNT))
_ALGORITHM = _object(
    loss_state={"type": ["object", "null"]}, scheduler_state=_object(current_step=_STEP, current_epoch=_STEP),
    compression_stage=_object(**{STAGE: {"enum": ["UNCOMPRESSED", "PARTIALLY_COMPRESSED", "FULLY_COMPRESSED"]}}))
_SCHEMA = _object(**{
    BUILDER: {"type": "object", "properties": {"quantization": _QUANTIZATION},
              "additionalProperties": {"type": "object"}},
    CONTROLLER: {"type": "object", "additionalProperties": _ALGORITHM}})
"""What NNCF 2.0.0 writes and reads without looking, as JSON schema."""

# What NNCF raises over a state that is not of this model; what the machine is to blame for is among OSErrors.
_RESTORING_FAULTS = (RuntimeError, TypeError, ValueError, AttributeError, LookupError, AssertionError, ArithmeticError)


def restore_compression(detector: Any, nncf_config: dict[str, Any], checkpoint: Checkpoint,
                        source: object) -> CompressedDetector:
    """Wrap ``detector`` as a checkpoint says and load its weights; nothing is initialised.

    Args:
        detector: An MMDetection detector of the checkpoint's config.
        nncf_config: Handed to NNCF unchanged: the checkpoint's, or one that compresses the same.
        checkpoint: A compressed one.
        source: Where it lies, for messages.

    Raises:
        NotRestored: The compression state is damaged, or state, config and weights do not belong together: a key is
            missing or unknown, a weight of another shape, a quantizer has other bits.
        UserError: NNCF is missing, or a weight is of another kind of number.
    """
    record = checkpoint.compression
    check_state(nncf_config, record.state, source)
    try:
        compressed = compress_detector(detector, nncf_config, restore=record, postprocessing=record.postprocessing)
        rebuilt = state_to_data(compressed.controller.get_compression_state())[BUILDER]
    except _RESTORING_FAULTS as error:
        raise _misfit(source, f"NNCF cannot restore it: {type(error).__name__}: {str(error)[:200]}") from error
    if _unordered(rebuilt) != _unordered(record.state[BUILDER]):
        raise _misfit(source, f"its {BUILDER} has entries that NNCF ignores")
    from nncf.torch import load_state

    state_dict, own = dict(checkpoint.state_dict), compressed.network.state_dict()
    check_dtypes(state_dict, own, source)
    # NNCF computes 2 to the power of these numbers wherever it finds them.
    for name, tensor in own.items():
        given = state_dict.get(name)
        if name.endswith("num_bits") and given is not None and given.tolist() != tensor.tolist():
            raise _misfit(source, f"{name} is {bounded_repr(given.tolist(), 80)}, and its quantizer has "
                          f"{bounded_repr(tensor.tolist(), 80)}")
    try:
        load_state(compressed.network, state_dict, is_resume=True)
    except RuntimeError as error:
        raise _misfit(source, "its weights are not those of the model compressed so: "
                      + " ".join(line.strip() for line in str(error).splitlines()[1:6])[:1000]) from error
    return compressed


def check_state(nncf_config: Mapping[str, Any], state: Mapping[str, Any], source: object) -> None:
    """Raise NotRestored where a compression state is not of the form that NNCF 2.0.0 writes; names the entry."""
    import jsonschema

    try:
        jsonschema.validate(state, _SCHEMA)
    except jsonschema.ValidationError as error:
        path = "/".join(str(step) for step in error.absolute_path)[:200]
        raise _misfit(source, f"{path or 'its top level'}: {error.message[:200]}") from error
    entries = nncf_config.get("compression", [])
    entries = entries if isinstance(entries, list) else [entries]
    names = [str(entry.get("algorithm")) for entry in entries if isinstance(entry, dict)]
    for part in (BUILDER, CONTROLLER):
        if sorted(map(str, state[part])) != sorted(names):
            found = ", ".join(map(str, state[part]))[:200]
            raise _misfit(source, f"its {part} is of the algorithms {found or 'none'}, and its nncf_config of "
                          f"{', '.join(names) or 'none'}")


def _unordered(value: Any) -> Any:
    """Return nested data such that lists, which were sets to NNCF, are equal in any order."""
    if isinstance(value, dict):
        return {key: _unordered(item) for key, item in value.items()}
    return sorted(map(_unordered, value), key=repr) if isinstance(value, (list, tuple)) else value


def _misfit(source: object, difference: str) -> NotRestored:
    return NotRestored("compressed checkpoint", f"{source}, compression_state: {difference}",
                       "The compression state is damaged, or does not fit the checkpoint's nncf_config, model config "
                       "and weights.", "Take an undamaged copy, or compress the model again.")
