"""Products of activations, each one operator of NNCF's graph: attention, and layers with weights made in passing."""

from typing import Any


def spatial_attention(attention: Any, query: Any, key: Any, value: Any) -> Any:
    """Return what a torch.nn.MultiheadAttention makes of query, key and value [L, N, C], without its weights."""
    return type(attention).forward(attention, query=query, key=key, value=value)[0]


def reduced_attention(layer: Any, query: Any, key: Any, value: Any) -> tuple[Any, None]:
    """Return what mmdet 2.28.2's SpatialReductionAttention asks of its ``attn``, of which it takes the first alone.

    NNCF cannot follow an operator that returns a tuple.
    """
    return spatial_attention(layer.attn, query, key, value), None


def dynamic_products(layer: Any, parameters: Any, features: Any) -> Any:
    """Return [N, H * W, C]: what mmdet 2.28.2's DynamicConv makes of regions with the weights predicted for each.

    Args:
        layer: The DynamicConv.
        parameters: [N, 2 * C * hidden], both weights of each region.
        features: [N, C, H, W].
    """
    import torch

    first, second = parameters[:, :layer.num_params_in], parameters[:, -layer.num_params_out:]
    hidden = torch.bmm(features.flatten(2).permute(0, 2, 1), first.view(-1, layer.in_channels, layer.feat_channels))
    hidden = layer.activation(layer.norm_in(hidden))
    hidden = torch.bmm(hidden, second.view(-1, layer.feat_channels, layer.out_channels))
    return layer.activation(layer.norm_out(hidden))


def dynamic_convolution(layer: Any, proposals: Any, features: Any) -> Any:
    """Return what DynamicConv.forward of mmdet 2.28.2 does, its two linear layers in the graph: most of its weights."""
    features = dynamic_products(layer, layer.dynamic_layer(proposals), features)
    if not layer.with_proj:
        return features
    return layer.activation(layer.fc_norm(layer.fc_layer(features.flatten(1))))
