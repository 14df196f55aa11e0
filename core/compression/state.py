"""NNCF's compression state as plain data, so that a checkpoint holds no class of NNCF's."""

from typing import Any

STAGE = "compression_stage"


def state_to_data(state: Any) -> Any:
    """Return a copy of NNCF's compression state with its one enum, CompressionStage, as its name."""
    from nncf.api.compression import CompressionStage

    if isinstance(state, CompressionStage):
        return {STAGE: state.name}
    if isinstance(state, dict):
        return {key: state_to_data(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return [state_to_data(value) for value in state]
    return state


def state_from_data(data: Any) -> Any:
    """Undo ``state_to_data``."""
    from nncf.api.compression import CompressionStage

    if isinstance(data, dict):
        if set(data) == {STAGE} and isinstance(data[STAGE], str):
            return CompressionStage[data[STAGE]]
        return {key: state_from_data(value) for key, value in data.items()}
    if isinstance(data, list):
        return [state_from_data(value) for value in data]
    return data
