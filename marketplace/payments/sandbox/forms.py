"""Form bodies as Stripe reads them: `a[b][0][c]=v` and `a[]=v`."""

import re
from typing import Any
from urllib.parse import parse_qsl

from marketplace.payments.sandbox.faults import Refused

DEPTH_MAX = 8
FIELDS_MAX = 500


def decode(text: str) -> dict[str, Any]:
    """Return the nested parameters of a form or query text; all leaves are texts.

    Raises: Refused, 400.
    """
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError as error:
        raise Refused(400, "Too many parameters.") from error
    tree: dict[str, Any] = {}
    for name, value in pairs:
        head, *tail = re.findall(r"^[^\[\]]+|\[[^\[\]]*\]", name) or [name]
        keys = [head, *(part[1:-1] for part in tail)]
        if len(keys) > DEPTH_MAX or "".join([head, *tail]) != name:
            raise Refused(400, f"Invalid parameter name: {name}")
        _put(tree, keys, value)
    return {key: _lists(value) for key, value in tree.items()}


def _put(tree: dict[str, Any], keys: list[str], value: str) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key or str(len(tree)), {})
        if not isinstance(tree, dict):
            raise Refused(400, f"Invalid parameter: {key} is both a value and a hash")
    tree[keys[-1] or str(len(tree))] = value


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(key.isdigit() for key in value):
        return [_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _lists(item) for key, item in value.items()}
