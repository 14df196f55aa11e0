"""mmcv's inheritance of one dict from another (``Config._merge_a_into_b`` of mmcv 1.7), on plain data."""

from typing import Any

from core.base.errors import UserError
from core.base.text import bounded_repr
from core.config.plain_data import dotted

DELETE_KEY = "_delete_"


def merge(child: dict[str, Any], base: dict[str, Any], thing: str, path: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return ``base`` overridden by ``child``; neither is changed.

    A dict inherits from the base's dict of the same key unless it holds ``_delete_=True``. As in mmcv, a
    ``_delete_`` with nothing to delete stays in the result.

    Raises:
        UserError: A dict that would inherit from something else.
    """
    merged = dict(base)
    for key, value in child.items():
        if isinstance(value, dict) and key in base:
            merged[key] = merge_item(value, base[key], thing, path + (key,))
        else:
            merged[key] = value
    return merged


def merge_item(value: dict[str, Any], inherited: Any, thing: str, path: tuple[str, ...]) -> Any:
    """Return the dict ``value`` merged into what the base has at ``path``."""
    body = {key: item for key, item in value.items() if key != DELETE_KEY}
    if value.get(DELETE_KEY, False):
        return body
    if not isinstance(inherited, dict):
        raise UserError(f"{thing}, {dotted(path)}",
                        f"a dict that would inherit from {bounded_repr(inherited, 60)}, a {type(inherited).__name__}",
                        "A dict inherits from a dict only.",
                        f"Add `{DELETE_KEY}=True` to the dict to replace the base's value.")
    return merge(body, inherited, thing, path)
