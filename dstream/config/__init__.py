"""Configuration: parses HCL text into typed blocks with source ranges.

`parse_text` parses a text into a syntax tree, `load` a file or folder into a `Config`. Nothing is evaluated here.
Modules are imported on first use of a name.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from dstream.config.blocks import (
        BackendBlock,
        CheckBlock,
        Condition,
        Config,
        DstreamBlock,
        ImportBlock,
        Launch,
        Lifecycle,
        MovedBlock,
        OutputBlock,
        PolicyBlock,
        ProviderBlock,
        RemovedBlock,
        RequiredProvider,
        ResourceBlock,
        SideBlock,
        TaskBlock,
        TimeoutsBlock,
        VariableBlock,
    )
    from dstream.config.files import Refuse
    from dstream.config.syntax.parser import Parsed
    from dstream.config.syntax.tree import Attribute, Block, Body, Expr, Node

__all__ = [
    "Attribute",
    "BackendBlock",
    "Block",
    "Body",
    "CheckBlock",
    "Condition",
    "Config",
    "DstreamBlock",
    "Expr",
    "ImportBlock",
    "Launch",
    "Lifecycle",
    "MovedBlock",
    "Node",
    "OutputBlock",
    "PolicyBlock",
    "ProviderBlock",
    "RemovedBlock",
    "RequiredProvider",
    "ResourceBlock",
    "SideBlock",
    "TaskBlock",
    "TimeoutsBlock",
    "VariableBlock",
    "load",
    "load_text",
    "parse_expression",
    "parse_template",
    "parse_text",
]

_SYNTAX = ("Attribute", "Block", "Body", "Expr", "Node")


def __getattr__(name: str) -> Any:
    """Import a type on first use (PEP 562)."""
    if name in __all__:
        return getattr(
            import_module("dstream.config.syntax.tree" if name in _SYNTAX else "dstream.config.blocks"), name
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load(path: Path, *, empty: bool = False, refuse: Refuse | None = None) -> Config:
    """Return the configuration in a file, or in all *.hcl files of a folder, which may have none with `empty`.
    A file for which `refuse` returns an error is not read.

    Raise DiagnosticsError with all errors; its `sources` has the texts of the files.
    """
    from dstream.config.files import load as load_path

    return load_path(path, empty=empty, refuse=refuse)


def load_text(text: str, filename: str = "dstream.hcl", root: Path | None = None) -> Config:
    """Return the configuration in a text; raise DiagnosticsError like `load`."""
    from dstream.config.files import load_text as load_one

    return load_one(text, filename, root)


def parse_text(text: str, filename: str) -> Parsed:
    """Return the syntax tree of a text as `.body`, and its errors as `.diagnostics`."""
    from dstream.config.syntax.parser import parse_text as parse

    return parse(text, filename)


def parse_expression(text: str, filename: str) -> Expr:
    """Return the tree of one expression; raise DiagnosticsError if it is invalid."""
    from dstream.config.syntax.parser import parse_expression as parse

    return parse(text, filename)


def parse_template(text: str, filename: str) -> Expr:
    """Return the tree of a text that is one template; raise DiagnosticsError if it is invalid."""
    from dstream.config.syntax.parser import parse_template as parse

    return parse(text, filename)
