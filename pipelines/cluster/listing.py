"""Lists of the API, page by page."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from pipelines.cluster.connection import Connection

PAGE_SIZE = 100


def entries(connection: Connection, thing: str, name: str | None, list_page: Callable[..., Any],
            field: str) -> Iterator[Any]:
    """Yield the entries of a list, all or those of one exact name.

    Args:
        thing: What is listed, in the user's words.
        name: The name, or None for all.
        list_page: The client's method that lists a page; it takes ``page_token``, ``page_size`` and ``filter``.
        field: The answer's field with the entries.
    """
    condition = None if name is None else json.dumps({"predicates": [
        {"operation": "EQUALS", "key": "display_name", "string_value": name}]})
    token = ""
    while True:
        with connection.asking(thing, name or "all of them"):
            page = list_page(page_token=token, page_size=PAGE_SIZE, filter=condition)
        yield from (entry for entry in getattr(page, field) or [] if name in (None, entry.display_name))
        token = page.next_page_token
        if not token:
            return
