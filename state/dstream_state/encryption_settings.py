"""The `encryption` block: from its arguments to what seals and opens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dstream_state.codec import Json
from dstream_state.encryption import Encryption, KeySource
from dstream_state.errors import SettingsError
from dstream_state.passphrase import Passphrase

ARGUMENTS = (
    "passphrase",
    "azure_key_vault",
    "fallback_passphrases",
    "fallback_azure_key_vault",
    "fallback_unencrypted",
    "enforced",
)


def open_encryption(settings: Mapping[str, Json]) -> Encryption:
    """Return the encryption that a block describes; nothing is sent. Raises SettingsError.

    passphrase (text) or azure_key_vault (a block) is written with; fallback_passphrases (list of text) and
    fallback_azure_key_vault (blocks) are read with as well; fallback_unencrypted (an empty block) also reads what is
    not encrypted, which enforced (bool) forbids.
    """
    if unknown := sorted(settings.keys() - set(ARGUMENTS)):
        raise SettingsError(f"`encryption` has no argument {unknown[0]!r}. Its arguments are: {', '.join(ARGUMENTS)}.")
    passphrase, vaults = settings.get("passphrase"), _blocks(settings, "azure_key_vault")
    if passphrase and vaults:
        raise SettingsError(
            "`encryption` has both passphrase and azure_key_vault; dstream writes with one of them. Make the earlier "
            "one a fallback: fallback_passphrases = [...], or fallback_azure_key_vault { ... }."
        )
    if len(vaults) > 1:
        raise SettingsError(
            "`encryption` has more than one azure_key_vault; dstream writes with one of them. Rename the earlier ones "
            "to fallback_azure_key_vault."
        )
    if not passphrase and not vaults:
        raise SettingsError(
            '`encryption` requires a passphrase, such as passphrase = env("DSTREAM_STATE_PASSPHRASE"), or a key: '
            'azure_key_vault { key_id = "https://VAULT.vault.azure.net/keys/NAME" }.'
        )
    enforced = str(settings.get("enforced") or False).lower()
    if enforced not in ("true", "false"):
        raise SettingsError(f"enforced of `encryption` must be true or false, not {settings['enforced']!r}.")
    unencrypted = _blocks(settings, "fallback_unencrypted", "fallback_unencrypted {}")
    if any(unencrypted):
        raise SettingsError("fallback_unencrypted of `encryption` has no arguments.")
    if unencrypted and enforced == "true":
        raise SettingsError(
            "`encryption` has fallback_unencrypted and enforced = true, which forbids it. Remove one of them."
        )
    return Encryption(list(_sources(settings)), reads_unencrypted=bool(unencrypted))


def _sources(settings: Mapping[str, Json]) -> Iterator[KeySource]:
    fallbacks = settings.get("fallback_passphrases") or ()
    if isinstance(fallbacks, str) or not isinstance(fallbacks, Sequence):
        raise SettingsError("fallback_passphrases of `encryption` must be a list of strings.")
    blocks = [*_blocks(settings, "azure_key_vault"), *_blocks(settings, "fallback_azure_key_vault")]
    if settings.get("passphrase"):
        yield _passphrase(settings["passphrase"])
    if blocks:
        from dstream_state.azure.key_vault import open_key

        yield from map(open_key, blocks)
    yield from map(_passphrase, fallbacks)


def _passphrase(text: Json) -> Passphrase:
    if not isinstance(text, str):
        raise SettingsError(f"A passphrase of `encryption` must be a string, not {type(text).__name__}.")
    return Passphrase(text)


def _blocks(settings: Mapping[str, Json], name: str, form: str = "") -> list[Mapping[str, Json]]:
    found = settings.get(name, [])
    found = [found] if isinstance(found, Mapping) else found
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
        raise SettingsError(f"{name} of `encryption` must be a block: {form or name + ' { key_id = ... }'}.")
    return found
