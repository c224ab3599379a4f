"""Pulumi provider plugins that stand in for those that cannot be had here. They serve real gRPC, as executables."""
