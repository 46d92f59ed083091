"""Read Stripe's shapes from the source of the installed `stripe` package, without importing it.

Stripe generates that package from its own specification: a TypedDict for the parameters of every call and an annotated
class for every object. Both are plain annotations, so a syntax tree is enough; nothing of the library runs here.
"""

import ast
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True)
class Shape:
    """What an annotation allows. `kind` is str, int, bool, float, any, literal, list, map, union, object or class."""

    kind: str
    parts: tuple["Shape", ...] = ()
    values: frozenset[object] = frozenset()
    name: str = ""
    nullable: bool = False


@dataclass
class ClassShape:
    """The annotated fields of one class, and the classes written inside it."""

    name: str
    fields: dict[str, Shape] = field(default_factory=dict)
    optional: set[str] = field(default_factory=set)


Module = dict[str, ClassShape]
ANY = Shape("any")
SCALARS = {"str": "str", "int": "int", "bool": "bool", "float": "float", "Any": "any", "object": "any"}


def library() -> Path:
    """Return the folder of the installed library."""
    spec = find_spec("stripe")
    if spec is None or spec.origin is None:
        raise LookupError("the stripe package is not installed")
    return Path(spec.origin).parent


@cache
def module_shapes(path: str) -> Module:
    """Return every class of one source file by dotted name (`PaymentIntent.NextAction`).

    `path` is relative to the library: `params/_transfer_create_params.py`.
    """
    tree = ast.parse((library() / path).read_text(encoding="utf-8"))
    found: Module = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            _read_class(node, "", found)
    return found


@cache
def object_classes() -> dict[str, tuple[str, str]]:
    """Return, for each value of an object's `object` field, the source file and the class that describe it."""
    tree = ast.parse((library() / "_object_classes.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "OBJECT_CLASSES" and node.value:
            table = ast.literal_eval(node.value)
            return {name: (_file_of(module), cls) for name, (module, cls) in table.items()}
    raise LookupError("the stripe package no longer lists its object classes")


def _file_of(module: str) -> str:
    return module.removeprefix("stripe.").replace(".", "/") + ".py"


def _read_class(node: ast.ClassDef, outer: str, found: Module) -> None:
    name = f"{outer}.{node.name}" if outer else node.name
    shape = found[name] = ClassShape(name)
    for item in node.body:
        if isinstance(item, ast.ClassDef):
            _read_class(item, name, found)
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            if _is_class_var(item.annotation):
                continue
            allowed, optional = _read(item.annotation, name)
            shape.fields[item.target.id] = allowed
            if optional:
                shape.optional.add(item.target.id)


def _is_class_var(node: ast.expr) -> bool:
    return isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "ClassVar"


def _read(node: ast.expr, scope: str) -> tuple[Shape, bool]:
    """Return the shape of a field, and whether it may be left out."""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        if node.value.id == "NotRequired":
            return _shape(node.slice, scope), True
        if node.value.id == "Optional":
            inner = _shape(node.slice, scope)
            return Shape(inner.kind, inner.parts, inner.values, inner.name, nullable=True), True
    return _shape(node, scope), False


def _shape(node: ast.expr, scope: str) -> Shape:
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return _shape(ast.parse(node.value, mode="eval").body, scope)
        return Shape("literal", values=frozenset({node.value}))
    if isinstance(node, ast.BinOp):
        return _union([_shape(node.left, scope), _shape(node.right, scope)])
    if isinstance(node, ast.Name):
        kind = SCALARS.get(node.id)
        return Shape(kind) if kind else Shape("class", name=f"{scope}|{node.id}")
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        return _generic(node.value.id, node.slice, scope)
    return ANY


def _generic(name: str, inside: ast.expr, scope: str) -> Shape:
    inner = list(inside.elts) if isinstance(inside, ast.Tuple) else [inside]
    if name == "Literal":
        return Shape("literal", values=frozenset(ast.literal_eval(item) for item in inner))
    if name in {"List", "Sequence"}:
        return Shape("list", (_shape(inner[0], scope),))
    if name in {"Dict", "Mapping", "UntypedStripeObject"}:
        return Shape("map", (_shape(inner[-1], scope),))
    if name == "ListObject":
        return Shape("object", name="list")
    if name == "ExpandableField":
        return _union([Shape("str"), _shape(inner[0], scope)])
    if name == "Union":
        return _union([_shape(item, scope) for item in inner])
    if name == "Optional":
        read = _shape(inner[0], scope)
        return Shape(read.kind, read.parts, read.values, read.name, nullable=True)
    if name == "NotRequired":
        return _shape(inner[0], scope)
    return ANY


def _union(parts: list[Shape]) -> Shape:
    """Join alternatives. `Literal[…] | str` is an open list of values; here it is taken at its word and closed."""
    flat: list[Shape] = []
    for part in parts:
        flat += part.parts if part.kind == "union" else [part]
    if any(part.kind == "literal" for part in flat):
        flat = [part for part in flat if part.kind != "str"]
    maps = [part for part in flat if part.kind == "map"]
    flat = [part for part in flat if part.kind != "map"] + maps[:1]
    return flat[0] if len(flat) == 1 else Shape("union", tuple(flat))
