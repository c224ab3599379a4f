"""The error table: numbers of SQL Server errors with their class and Microsoft's documentation of them.

Connections, statements, start-up and `docs/sqlserver.md` all use this table. An error that is not listed is classified
by severity: from 20 the server has closed the connection, from 17 it lacks a resource, below that the statement is at
fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """The class of an error. The value is its name in messages and in the documentation."""

    LOST = "lost"
    TRANSIENT = "transient"
    DENIED = "denied"
    CONFLICT = "conflict"
    INVALID = "invalid"
    GAP = "gap"
    FATAL = "fatal"


ACTIONS = {
    Kind.LOST: "connects again and repeats, for up to `reconnect_timeout`",
    Kind.TRANSIENT: "repeats, for up to `reconnect_timeout`; other tables continue",
    Kind.DENIED: "stops, and names what is missing",
    Kind.CONFLICT: "stops; plan again",
    Kind.INVALID: "stops, and shows the server's message",
    Kind.GAP: "compares the checkpoint with what is left; `on_gap` decides",
    Kind.FATAL: "tries the table again while the others continue; `on_table_error` decides",
}
"""How dstream reacts, by class."""

_LEARN = "https://learn.microsoft.com/"
SOURCES = {
    "connectivity": _LEARN + "azure/azure-sql/database/troubleshoot-common-errors-issues",
    "limits": _LEARN + "azure/azure-sql/database/resource-limits-logical-server",
    "serverless": _LEARN + "azure/azure-sql/database/serverless-tier-overview",
    "firewall": _LEARN + "azure/azure-sql/database/firewall-configure",
    "private": _LEARN + "azure/azure-sql/database/connectivity-settings",
    "driver": _LEARN + "dotnet/api/microsoft.data.sqlclient.sqlconfigurableretryfactory",
    "groups": _LEARN + "sql/database-engine/availability-groups/windows/"
    "active-secondaries-readable-secondary-replicas-always-on-availability-groups",
    "functions": _LEARN
    + "sql/relational-databases/system-functions/cdc-fn-cdc-get-all-changes-capture-instance-transact-sql",
    "errors": _LEARN + "sql/relational-databases/errors-events/database-engine-events-and-errors",
    "azure-cdc": _LEARN + "azure/azure-sql/database/change-data-capture-overview",
}
"""Microsoft's pages, by the short name that entries use."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A group of errors. With `denied_at_first` they count as denied until the first connection succeeds."""

    numbers: tuple[int, ...]
    kind: Kind
    meaning: str
    source: str
    denied_at_first: bool = False
    advice: str = ""
    """Added to the server's message."""


_READ_INTENT = "Connect to the primary replica through the listener, or add ApplicationIntent=ReadOnly"

TABLE = (
    Entry((40613, 40197, 40143, 40166, 40540), Kind.LOST, "failover or reconfiguration in Azure SQL", "connectivity"),
    Entry(
        (4060,),
        Kind.LOST,
        "database not available to this login",
        "connectivity",
        denied_at_first=True,
        advice="Check the name of the database, and that the login has a user in it",
    ),
    Entry((615, 926, 4221), Kind.LOST, "database in transition", "connectivity"),
    Entry((976, 982, 983), Kind.LOST, "replica changing its role", "groups"),
    Entry((921, 922, 923, 6005, 17142, 18401), Kind.LOST, "server or database starting or stopping", "errors"),
    Entry((596, 9001), Kind.LOST, "session ended by the server", "errors"),
    Entry((42108, 42109), Kind.LOST, "paused database resuming", "serverless"),
    Entry((-2, 64, 121, 233, 997, 10053, 10054, 10060), Kind.LOST, "broken connection", "driver"),
    Entry((10928, 10929, 10936), Kind.TRANSIENT, "limit of sessions or requests", "limits"),
    Entry((40501, 49918, 49919, 49920), Kind.TRANSIENT, "throttling", "connectivity"),
    Entry(
        (40549, 40550, 40551, 40552, 40553), Kind.TRANSIENT, "session ended for its use of resources", "connectivity"
    ),
    Entry((1204, 1205, 1222), Kind.TRANSIENT, "lock, deadlock, or lock timeout", "driver"),
    Entry((601, 3960, 3961, 4891), Kind.TRANSIENT, "rows or tables changed during the read", "errors"),
    Entry((701, 802, 8645, 8651, 17197), Kind.TRANSIENT, "memory or workers exhausted", "errors"),
    Entry((41301, 41302, 41305, 41325, 41839), Kind.TRANSIENT, "conflict of memory-optimized tables", "driver"),
    Entry((22840, 22903, 22984), Kind.TRANSIENT, "change data capture busy", "errors"),
    Entry((14355, 40648), Kind.TRANSIENT, "service busy", "errors"),
    Entry(
        (40615,),
        Kind.DENIED,
        "address not allowed by the firewall",
        "firewall",
        advice="Allow the address {address}: az sql server firewall-rule create --name dstream --resource-group GROUP "
        "--server SERVER --start-ip-address {address} --end-ip-address {address}. A new rule takes up to five minutes",
    ),
    Entry(
        (47073,),
        Kind.DENIED,
        "public network access disabled",
        "private",
        advice="Connect through a private endpoint, or enable public network access and allow this client's address "
        "({address} here; behind NAT, the public one)",
    ),
    Entry(
        (40914,),
        Kind.DENIED,
        "subnet not allowed by the firewall",
        "firewall",
        advice="Add a virtual network rule for the subnet of {address}",
    ),
    Entry((978,), Kind.DENIED, "replica for read intent only", "groups", advice=_READ_INTENT),
    Entry((18452, 18456, 18470, 18486, 18487, 18488, 40531, 40532), Kind.DENIED, "login refused", "connectivity"),
    Entry((229, 230, 262, 297, 300, 916, 22981), Kind.DENIED, "permission missing", "errors"),
    Entry((22902, 22904, 22914), Kind.DENIED, "sysadmin or db_owner required", "errors"),
    Entry((22906, 22926, 22962, 15233), Kind.CONFLICT, "object already exists", "errors"),
    Entry((313, 22957), Kind.GAP, "range not in the capture instance", "functions"),
    Entry((22901, 22985, 22960, 22920), Kind.INVALID, "change data capture not enabled", "errors"),
    Entry((22993, 22997), Kind.INVALID, "job of change data capture not created", "errors"),
    Entry((22845, 22988, 22989), Kind.INVALID, "edition or database without change data capture", "errors"),
    Entry((22907, 22927, 22930, 22931, 22932, 22939, 22942, 22943, 22994), Kind.INVALID, "wrong argument", "errors"),
    Entry((40508, 40515), Kind.INVALID, "not available in Azure SQL Database", "azure-cdc"),
    Entry(
        (3906,),
        Kind.INVALID,
        "database read-only",
        "groups",
        advice="Change data capture is enabled on the primary replica: plan and apply there",
    ),
    Entry((3952,), Kind.INVALID, "snapshot isolation not allowed", "errors"),
    Entry((102, 156, 207, 208, 209, 245, 911, 2812, 15151), Kind.INVALID, "object, column or syntax unknown", "errors"),
    Entry((605, 823, 824), Kind.FATAL, "damaged page", "errors"),
)
"""All entries."""

BY_NUMBER = {number: entry for entry in TABLE for number in entry.numbers}


def kind_of(number: int, severity: int) -> Kind:
    """Return the class of an error, by severity if the table does not have it."""
    if number in BY_NUMBER:
        return BY_NUMBER[number].kind
    if severity >= 20:
        return Kind.LOST
    return Kind.TRANSIENT if severity >= 17 else Kind.FATAL


def matrix() -> str:
    """Return the table as Markdown: errors, meaning, class, reaction, source."""
    lines = ["| errors | meaning | class | dstream | source |", "|---|---|---|---|---|"]
    for entry in TABLE:
        numbers = ", ".join(map(str, entry.numbers))
        kind = entry.kind.value + ("; denied before a first connection" if entry.denied_at_first else "")
        source = f"[{entry.source}]({SOURCES[entry.source]})"
        lines.append(f"| {numbers} | {entry.meaning} | {kind} | {ACTIONS[entry.kind]} | {source} |")
    return "\n".join(lines) + "\n"
