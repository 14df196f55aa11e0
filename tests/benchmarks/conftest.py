"""The toy detector and its scenes of the core tests."""

from tests.core.conftest import int8_ir, int8_spec, openvino, scenes, toy_ir, toy_spec

__all__ = ["int8_ir", "int8_spec", "openvino", "scenes", "toy_ir", "toy_spec"]
