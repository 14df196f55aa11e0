"""Batch norm that synchronises its statistics between processes."""

from typing import Any

NEEDS_GROUP = "MMSyncBN"
"""mmcv's own, which cannot even be built without a process group (mmcv 1.7.2, ops/sync_bn.py, SyncBatchNorm)."""
SYNCHRONISED = ("SyncBN", NEEDS_GROUP)


def make_plain(node: Any, kinds: tuple[str, ...] = SYNCHRONISED) -> int:
    """Make each norm of a kind in a config plain batch norm, and return how many were; weights have the same names."""
    if isinstance(node, (list, tuple)):
        return sum(make_plain(item, kinds) for item in node)
    if not isinstance(node, dict):
        return 0
    own = node.get("type") in kinds
    if own:
        node["type"] = "BN"
    return own + sum(make_plain(item, kinds) for item in node.values())
