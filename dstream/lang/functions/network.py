"""Functions of IP networks."""

from __future__ import annotations

import ipaddress
import re

from dstream.lang.functions.registry import FunctionError, function
from dstream.lang.values import Value

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(prefix: str) -> Network:
    # Go, and so Terraform, reads leading zeros in old configurations as decimal.
    plain = re.sub(r"(?<![0-9a-fA-F:])0+(?=\d)", "", prefix) if ":" not in prefix else prefix
    if "%" in plain:
        raise FunctionError(f'"{prefix}" is not a network: it has a zone', 0)
    if "/" not in plain:
        raise FunctionError(f'"{prefix}" is not a network: the prefix length is missing, as in 10.0.0.0/8', 0)
    try:
        return ipaddress.ip_network(plain, strict=False)
    except ValueError as wrong:
        raise FunctionError(f'"{prefix}" is not a network: {wrong}', 0) from None


def _integer(value: Value, argument: int, name: str) -> int:
    if not isinstance(value, int):
        raise FunctionError(f"{name} must be a whole number", argument)
    return value


@function("prefix: string, hostnum: number")
def cidrhost(prefix: Value, hostnum: Value) -> Value:
    """Return the address of a host in a network; a negative number counts from its end."""
    network, host = _network(prefix), _integer(hostnum, 1, "the number of the host")
    if not -network.num_addresses <= host < network.num_addresses:
        raise FunctionError(f"the network {prefix} has no host {host}", 1)
    return str(network[host])


@function("prefix: string, address: string")
def cidrcontains(prefix: Value, address: Value) -> Value:
    """Return whether a network holds an address, or all of another network."""
    network = _network(prefix)
    try:
        inner = _network(address) if "/" in address else ipaddress.ip_network(address)
    except (ValueError, FunctionError):
        raise FunctionError(f'"{address}" is neither an address nor a network', 1) from None
    if inner.version != network.version:
        raise FunctionError(f"{prefix} and {address} are of different IP versions", 1)
    return inner.network_address in network and inner.broadcast_address in network


@function("prefix: string")
def cidrnetmask(prefix: Value) -> Value:
    """Return the mask of an IPv4 network."""
    network = _network(prefix)
    if isinstance(network, ipaddress.IPv6Network):
        raise FunctionError("IPv6 networks have no mask; use the length of the prefix", 0)
    return str(network.netmask)


@function("prefix: string, newbits: number, netnum: number")
def cidrsubnet(prefix: Value, newbits: Value, netnum: Value) -> Value:
    """Return one of the networks inside a network."""
    network = _network(prefix)
    bits, chosen = _integer(newbits, 1, "the number of bits"), _integer(netnum, 2, "the number of the network")
    length = network.prefixlen + bits
    if bits < 0 or length > network.max_prefixlen:
        raise FunctionError(f"the prefix {prefix} cannot be made {bits} bits longer", 1)
    if not -(1 << bits) <= chosen < 1 << bits:
        raise FunctionError(f"{bits} bits make {1 << bits} networks, so number {chosen} does not exist", 2)
    if chosen < 0:
        chosen += 1 << bits
    return str(_subnet(network, int(network.network_address) + (chosen << (network.max_prefixlen - length)), length))


def _subnet(network: Network, address: int, length: int) -> Network:
    if isinstance(network, ipaddress.IPv4Network):
        return ipaddress.IPv4Network((address, length))
    return ipaddress.IPv6Network((address, length))


@function("prefix: string, newbits...: number", gives="list")
def cidrsubnets(prefix: Value, *newbits: Value) -> Value:
    """Return networks of several sizes, one after another, inside a network."""
    network = _network(prefix)
    address = int(network.network_address)
    end = address + network.num_addresses
    made: list[Value] = []
    for argument, bits in enumerate(newbits, 1):
        length = network.prefixlen + _integer(bits, argument, "the number of bits")
        if bits < 1 or length > network.max_prefixlen:
            raise FunctionError(f"the prefix {prefix} cannot be made {bits} bits longer", argument)
        size = 1 << (network.max_prefixlen - length)
        address = -(-address // size) * size
        if address + size > end:
            raise FunctionError(f"the network {prefix} has no space left for this subnet", argument)
        made.append(str(_subnet(network, address, length)))
        address += size
    return made
