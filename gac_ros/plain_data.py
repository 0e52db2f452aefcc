"""Plain data of YAML files: read without a silent loss, and compared in words."""

from __future__ import annotations

from typing import Any

import yaml


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML's own loader keeps the last of two equal keys silently; a contract must not."""


def _unique_mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    mapping: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise yaml.constructor.ConstructorError(
                None, None, f"the key '{key}' is not a word", key_node.start_mark
            )
        if key in mapping:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key '{key}' appears twice", key_node.start_mark
            )
        mapping[key] = loader.construct_object(value_node, deep=True)
    return mapping


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def load_yaml(text: str) -> Any:
    """Plain data of a YAML text in which no key appears twice.

    Raises:
        yaml.YAMLError: it is none.
    """
    return yaml.load(text, Loader=_UniqueKeyLoader)


def differences(mine: Any, theirs: Any, path: str = "") -> list[str]:
    """What differs, one line each with the place, such as `action.fields[hip].limits[0]`.

    Args:
        mine: mappings, lists and scalars.
        theirs: likewise.
        path: where they stand in something larger.
    """
    if isinstance(mine, dict) and isinstance(theirs, dict):
        lines = []
        for key in [*mine, *(key for key in theirs if key not in mine)]:
            where = f"{path}.{key}" if path else str(key)
            lines += differences(mine.get(key), theirs.get(key), where)
        return lines
    if isinstance(mine, list) and isinstance(theirs, list) and len(mine) == len(theirs):
        lines = []
        for index, (left, right) in enumerate(zip(mine, theirs, strict=True)):
            name = (
                left.get("topic") or left.get("joint") or left.get("select")
                if isinstance(left, dict)
                else None
            )
            lines += differences(left, right, f"{path}[{name or index}]")
        return lines
    if mine == theirs:
        return []
    if isinstance(mine, list) and isinstance(theirs, list):
        return [f"{path}: {_names(mine)} against {_names(theirs)}"]
    return [f"{path}: {mine!r} against {theirs!r}"]


def _names(items: list[Any]) -> str:
    names = [
        str(item.get("topic") or item.get("joint") or item.get("select"))
        if isinstance(item, dict)
        else str(item)
        for item in items
    ]
    return f"{len(items)} entries ({', '.join(names)})"
