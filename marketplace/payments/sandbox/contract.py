"""Hold requests and replies to Stripe's contract, as the installed `stripe` package states it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from marketplace.payments.sandbox.shapes import ClassShape, Module, Shape, module_shapes, object_classes


@dataclass(frozen=True)
class Fault:
    """One place where a value breaks the contract. `code` is Stripe's: parameter_unknown, parameter_missing, …"""

    path: str
    code: str
    words: str


def check_request(params_class: str, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """Return the parameters with numbers and booleans read from their texts, and every fault.

    `params_class` is a class of `stripe.params`: `TransferCreateParams`, `checkout.SessionCreateParams`.
    """
    folder, _, name = params_class.rpartition(".")
    path = "/".join(part for part in ("params", folder.replace(".", "/"), f"_{_snake(name)}.py") if part)
    module = module_shapes(path)
    faults: list[Fault] = []
    read = _read_fields(module, module[name], values, "", faults)
    return read, faults


def check_reply(value: Any, path: str = "") -> list[Fault]:
    """Return every fault of an object the sandbox gives out: missing, null or mistyped fields, and unknown ones."""
    if not isinstance(value, Mapping) or "object" not in value:
        return [Fault(path, "not_an_object", "an object with a field `object` is expected")]
    if value.get("deleted"):
        return []
    if value["object"] == "list":
        return [fault for n, item in enumerate(value["data"]) for fault in check_reply(item, f"{path}[{n}]")]
    place = object_classes().get(value["object"])
    if place is None:
        return [Fault(path, "unknown_object", f"{value['object']} is not an object of Stripe's")]
    module = module_shapes(place[0])
    faults = list(_reply_fields(module, module[place[1]], value, path))
    if value["object"] == "event" and not faults:
        faults += check_reply(value["data"]["object"], f"{path}.data.object")
    return faults


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _find(module: Module, reference: str) -> ClassShape | None:
    """Look a class up from the inside of its scope outward; None when it belongs to another file."""
    scope, _, name = reference.partition("|")
    while True:
        found = module.get(f"{scope}.{name}" if scope else name)
        if found is not None or not scope:
            return found
        scope = scope.rpartition(".")[0]


# -- requests: texts from a form ----------------------------------------------------------------------------------


def _read_fields(
    module: Module, shape: ClassShape, values: Mapping[str, Any], path: str, faults: list[Fault]
) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for name, value in values.items():
        where = f"{path}[{name}]" if path else str(name)
        if name not in shape.fields:
            faults.append(Fault(where, "parameter_unknown", f"Received unknown parameter: {where}"))
        else:
            read[name] = _read_value(module, shape.fields[name], value, where, faults)
    for name in shape.fields:
        if name not in values and name not in shape.optional:
            where = f"{path}[{name}]" if path else name
            faults.append(Fault(where, "parameter_missing", f"Missing required param: {where}."))
    return read


def _read_value(module: Module, shape: Shape, value: Any, path: str, faults: list[Fault]) -> Any:
    if shape.kind == "union":
        return _read_union(module, shape, value, path, faults)
    if shape.kind == "class":
        found = _find(module, shape.name)
        if found is None:
            return value
        if isinstance(value, Mapping):
            return _read_fields(module, found, value, path, faults)
    elif shape.kind == "list" and isinstance(value, list):
        return [_read_value(module, shape.parts[0], item, f"{path}[{n}]", faults) for n, item in enumerate(value)]
    elif shape.kind == "map" and isinstance(value, Mapping):
        return {key: _read_value(module, shape.parts[0], item, f"{path}[{key}]", faults) for key, item in value.items()}
    elif isinstance(value, str):
        scalar = _read_scalar(shape, value)
        if scalar is not None:
            return scalar
    faults.append(Fault(path, "parameter_invalid", f"Invalid {path}: {_expected(shape)} expected"))
    return value


def _read_union(module: Module, shape: Shape, value: Any, path: str, faults: list[Fault]) -> Any:
    tries = []
    for part in shape.parts:
        inner: list[Fault] = []
        read = _read_value(module, part, value, path, inner)
        if not inner:
            return read
        tries.append(inner)
    # The alternative that went deepest tells most about what is wrong.
    faults += max(tries, key=lambda found: max(len(fault.path) for fault in found))
    return value


def _read_scalar(shape: Shape, text: str) -> Any:
    if shape.kind in {"str", "any"}:
        return text
    if shape.kind == "int" and re.fullmatch(r"-?\d{1,18}", text):
        return int(text)
    if shape.kind == "bool" and text in {"true", "false"}:
        return text == "true"
    if shape.kind == "float" and re.fullmatch(r"-?\d+(\.\d+)?", text):
        return float(text)
    if shape.kind == "literal":
        return next((one for one in shape.values if str(one).lower() == text.lower() or one == text), None)
    return None


def _expected(shape: Shape) -> str:
    if shape.kind == "literal":
        return "one of " + ", ".join(sorted(str(value) for value in shape.values))
    return {"int": "an integer", "bool": "true or false", "class": "a hash", "map": "a hash", "list": "an array"}.get(
        shape.kind, "a " + shape.kind
    )


# -- replies: JSON ------------------------------------------------------------------------------------------------


def _reply_fields(module: Module, shape: ClassShape, value: Mapping[str, Any], path: str) -> Iterator[Fault]:
    for name, allowed in shape.fields.items():
        where = f"{path}.{name}" if path else name
        if name not in value:
            if name not in shape.optional:
                yield Fault(where, "missing", f"{where} is missing")
        elif value[name] is None:
            if not allowed.nullable:
                yield Fault(where, "null", f"{where} must not be null")
        else:
            yield from _reply_value(module, allowed, value[name], where)
    for name in value:
        if name not in shape.fields:
            yield Fault(f"{path}.{name}", "unknown", f"{shape.name} has no field {name}")


def _reply_value(module: Module, shape: Shape, value: Any, path: str) -> Iterator[Fault]:
    if shape.kind == "union":
        tries = [list(_reply_value(module, part, value, path)) for part in shape.parts]
        if all(tries):
            yield from min(tries, key=len)
    elif shape.kind == "any":
        return
    elif shape.kind == "class":
        yield from _reply_class(module, shape, value, path)
    elif shape.kind == "object":
        yield from check_reply(value, path)
    elif shape.kind == "list" and isinstance(value, list):
        for n, item in enumerate(value):
            yield from _reply_value(module, shape.parts[0], item, f"{path}[{n}]")
    elif shape.kind == "map" and isinstance(value, Mapping):
        for key, item in value.items():
            yield from _reply_value(module, shape.parts[0], item, f"{path}.{key}")
    elif not _is_scalar(shape, value):
        yield Fault(path, "wrong_type", f"{path}: {_expected(shape)} expected, not {value!r}")


def _reply_class(module: Module, shape: Shape, value: Any, path: str) -> Iterator[Fault]:
    found = _find(module, shape.name)
    if not isinstance(value, Mapping):
        yield Fault(path, "wrong_type", f"{path}: an object expected, not {value!r}")
    elif found is not None and not isinstance(value.get("object"), str):
        yield from _reply_fields(module, found, value, path)
    else:
        yield from check_reply(value, path)


def _is_scalar(shape: Shape, value: Any) -> bool:
    if shape.kind == "literal":
        return value in shape.values
    if shape.kind == "float":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    wanted = {"str": str, "int": int, "bool": bool}.get(shape.kind)
    return wanted is not None and isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
