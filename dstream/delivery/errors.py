"""What a forge refuses."""

from __future__ import annotations


class DeliveryError(Exception):
    """A forge cannot be used; the text says why, and never contains a token."""
