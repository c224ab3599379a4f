"""Makes `pulumi.runtime.proto` importable without the rest of the package `pulumi`, which takes half a second.

Import this module first, in a process that uses nothing else of `pulumi`: a stand-in for a plugin.
"""

import importlib.util
import sys
from types import ModuleType


def leave_out_the_package() -> None:
    """Put empty packages in the places of `pulumi` and `pulumi.runtime`, with their folders."""
    spec = importlib.util.find_spec("pulumi")
    assert spec is not None and spec.submodule_search_locations
    (folder,) = spec.submodule_search_locations
    for name, path in (("pulumi", folder), ("pulumi.runtime", f"{folder}/runtime")):
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__path__ = [path]


if "pulumi" not in sys.modules:
    leave_out_the_package()
