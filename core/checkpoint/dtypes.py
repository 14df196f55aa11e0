"""Whether a checkpoint's tensors are of the model's kind of number: torch casts them on loading and says nothing."""

import logging
from collections.abc import Mapping
from typing import Any

from core.base.errors import UserError

logger = logging.getLogger(__name__)


def check_dtypes(given: Mapping[str, Any], own: Mapping[str, Any], source: object) -> None:
    """Compare the tensors that a checkpoint and a model both have; log how many are going to be cast within a kind.

    Half, single and double precision are of one kind, and integers of any width are; what is cast across kinds would
    hardly be what was trained.

    Args:
        given: The checkpoint's tensors by name.
        own: The model's, by name.
        source: The checkpoint, for messages.

    Raises:
        UserError: A tensor is of another kind than the model's; names it, its dtype and the one wanted.
    """
    cast = [name for name, tensor in own.items() if name in given and given[name].dtype != tensor.dtype]
    for name in cast:
        dtypes = given[name].dtype, own[name].dtype
        if len({(dtype.is_floating_point, dtype.is_complex, str(dtype) == "torch.bool") for dtype in dtypes}) > 1:
            raise UserError("checkpoint", source, f"Its {name} is of {given[name].dtype}, and the model's is of "
                            f"{own[name].dtype}: numbers of another kind are not taken.",
                            "Save it again with the weights as they were trained.")
    if cast:
        first = cast[0]
        logger.info("%d tensors of %s are cast, the first is %s from %s to %s", len(cast), source, first,
                    given[first].dtype, own[first].dtype)
