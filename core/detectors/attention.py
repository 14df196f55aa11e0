"""Attention of pyramid vision transformers, as one operator of NNCF's graph."""

from typing import Any


def spatial_attention(attention: Any, query: Any, key: Any, value: Any) -> Any:
    """Return what a torch.nn.MultiheadAttention makes of query, key and value [L, N, C], without its weights."""
    return type(attention).forward(attention, query=query, key=key, value=value)[0]


def reduced_attention(layer: Any, query: Any, key: Any, value: Any) -> tuple[Any, None]:
    """Return what mmdet 2.28.2's SpatialReductionAttention asks of its ``attn``, of which it takes the first alone.

    NNCF cannot follow an operator that returns a tuple.
    """
    return spatial_attention(layer.attn, query, key, value), None
