"""Pulumi provider plugins as dstream resources, without Pulumi's engine, state and CLI; and embedded Pulumi programs.

    from dstream_pulumi import Plugin, PluginCatalog, collect

`Plugin` names a provider plugin, `PluginCatalog` serves its types in the role `resource`, and `collect` runs an
ordinary Pulumi program and returns its resources, as the answer to `plan`. See docs/pulumi.md. Importing this package
imports neither pulumi nor grpc.
"""

from dstream_pulumi.catalog import PluginCatalog
from dstream_pulumi.plugin import Plugin
from dstream_pulumi.program import collect

__all__ = ["Plugin", "PluginCatalog", "collect"]
