"""Errors of planning, each with the reason and the fix."""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from dstream.diagnostics import Diagnostic, SourceRange, error
from dstream.engine.evaluate.desired import DesiredObject
from dstream.engine.providers.type_rules import ResourceTypeRules
from dstream.engine.refresh.refresh import RefreshedObject
from dstream.plan import Change
from dstream.plugins import ProviderInfo


def object_exists(address: str) -> Diagnostic:
    """Return the error for an object to create that exists already."""
    return error(
        "Object exists already",
        f"{address} would be created, but there is one like it already, and this state did not create it. "
        "dstream never takes over what is not its own: give the new one another name, delete the other by hand, or "
        f"take it in with an import block: import {{ to = {address} }}.",
        address=address,
    )


def unreachable(address: str, refreshed: RefreshedObject) -> list[Diagnostic]:
    """Return the errors for an object whose provider could not report whether it exists."""
    found = [replace(d, address=d.address or address) for d in refreshed.diagnostics]
    return found or [error("Object refresh failure", "Try again, or use -refresh=false.", address=address)]


def unresolved(address: str) -> Diagnostic:
    """Return the error for an object whose last change has an unknown outcome."""
    return error(
        "Unresolved object",
        "An earlier apply was cut off while it changed this object, and its provider cannot tell whether the change "
        f"was made. Look for it by hand; then take it in with dstream import {address} IDENTITY, or, if it does not "
        f"exist, take it out of the state with dstream state rm {address}.",
        address=address,
    )


def destroy_prevented(change: Change, subject: SourceRange | None) -> Diagnostic:
    """Return the error for a destruction that the configuration forbids."""
    return error(
        "Destruction prevented",
        f"{change.address} would be {'replaced' if change.action.replaces else 'destroyed'}, and its lifecycle says "
        "prevent_destroy. Take prevent_destroy out first, or leave what forces this"
        + (f" ({', '.join(change.replace_paths)})" if change.replace_paths else "")
        + " as it was.",
        subject,
        address=change.address,
    )


def destroy_prevented_by_provider(change: Change, subject: SourceRange | None) -> Diagnostic:
    """Return the error for the destruction of an object that the provider of its task protects."""
    return error(
        "Destruction prevented",
        f"{change.address} would be destroyed, and the provider that asked for it said that it must not be "
        "(prevent_destroy; protect in a Pulumi program). Take that out and apply first; or let the object stay and "
        f"forget it: dstream state rm '{change.address}'",
        subject,
        address=change.address,
    )


def destroy_prevented_by_state(change: Change) -> Diagnostic:
    """Return the error for the destruction of an object whose block was removed and had `prevent_destroy`."""
    return error(
        "Destruction prevented",
        f"{change.address} would be destroyed, since its block is no longer in the configuration. The block had "
        "prevent_destroy when it was last applied, so the state protects the object. To destroy it, write: "
        f"removed {{ from = {change.address} }}. To keep it and forget it, run: dstream state rm '{change.address}'. "
        "If its block was renamed, write a moved block.",
        address=change.address,
    )


def cannot_create_before_destroy(change: Change, desired: DesiredObject, rules: ResourceTypeRules) -> Diagnostic:
    """Return the error for a replacement whose new object would have the identity of the old one."""
    names = ", ".join(rules.identity_attributes)
    cause = "its lifecycle says" if desired.lifecycle.create_before_destroy else "a block that needs it says"
    return error(
        "Cannot create before destroy",
        f"{change.address} has to be replaced, and {cause} create_before_destroy, but the new object would be "
        f"identified by the same {names} as the old one, so both cannot exist. Give the new one another {names}, or "
        "take create_before_destroy out.",
        desired.range,
        address=change.address,
    )


def no_import_target(address: str, declared: bool, subject: SourceRange | None) -> Diagnostic:
    """Return the error for an import to an address that is not in the configuration."""
    if address.startswith("task."):
        fix = (
            "Its task does not ask for such an object: `dstream plan` without the import shows those that it asks for."
        )
    elif declared:
        fix = "Its block has no such instance: look at its for_each or count."
    else:
        fix = "Declare it, or have it written for you: dstream plan -generate-config-out=imported.hcl."
    return error("Nothing to import to", f"The configuration asks for no object at {address}. {fix}", subject)


def removed_still_declared(address: str, subject: SourceRange | None) -> Diagnostic:
    """Return the error for a `removed` block that names an object that is still declared."""
    fix = "a removed block removes it. Delete the removed block, or the object's own block."
    return _still_declared("Removed object still declared", address, fix, subject)


def moved_still_declared(address: str, subject: SourceRange | None) -> Diagnostic:
    """Return the error for a `moved` block that moves an object away that is still declared."""
    fix = "a moved block gives it another address. Delete the moved block, or rename the object's own block."
    return _still_declared("Moved object still declared", address, fix, subject)


def _still_declared(summary: str, address: str, fix: str, subject: SourceRange | None) -> Diagnostic:
    return error(summary, f"{address} is declared by the configuration, and {fix}", subject)


def sensitive_identity(desired: DesiredObject, name: str) -> Diagnostic:
    """Return the error for a sensitive identity attribute, which would be stored and shown."""
    return error(
        "Sensitive identity",
        f"{name} identifies {desired.address}, so it is stored and shown, and its value is sensitive. "
        f"If it is not secret, write {name} = nonsensitive(...).",
        desired.range,
        address=desired.address,
    )


def unknown_type(type_: str, info: ProviderInfo, subject: SourceRange | None) -> Diagnostic:
    """Return the error for a resource type that the provider does not have."""
    import difflib

    near = difflib.get_close_matches(type_, list(info.resources), n=1)
    hint = f"Did you mean {near[0]}?" if near else f"It has: {', '.join(sorted(info.resources)) or 'none'}."
    return error("Unknown resource type", f"The provider {info.name} has no type {type_}. {hint}", subject)


def encryption_required(type_: str, names: Collection[str], subject: SourceRange | None) -> Diagnostic:
    """Return the error for a type with secrets that only an encrypted state can keep."""
    return error(
        "Encryption required",
        f"{type_} has secrets that cannot be read again ({', '.join(sorted(names))}), so the state has to keep "
        'them, and it keeps secrets only when it is encrypted: dstream { encryption { passphrase = env("NAME") } }.',
        subject,
    )
