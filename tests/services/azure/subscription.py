"""Subscription: Azure Resource Manager over all that a trial creates: Blob Storage, Service Bus, Azure SQL.

A storage account is Azurite, a namespace the stand-in of Service Bus, a server of Azure SQL the stand-in of SQL Server.
Creating is answered as documented: 202 with `Location` (storage accounts) or `Azure-AsyncOperation` (SQL), and deleting
a group by 202 with `Location` (learn.microsoft.com/azure/azure-resource-manager/management/async-operations).
"""

from __future__ import annotations

import re
from typing import Any

from tests.services.azure.arm import ArmServer
from tests.services.azure.running import ServiceBus
from tests.services.azure.web import Answer, Call
from tests.services.azurite import ACCOUNT, KEY, Azurite
from tests.services.mssql.model import Login
from tests.services.mssql.server import SqlServer

SUBSCRIPTION = "12345678-aaaa-bbbb-cccc-1234567890ab"
ADDRESS = "203.0.113.7"
"""What Azure SQL takes for the address of its clients."""
_OTHER = re.compile(
    r"(?P<group>/subscriptions/[^/]+/resourcegroups/[^/]+)/providers/microsoft\.(?P<rest>s(?:torage|ql)/.+)", re.I
)


class Subscription(ArmServer):
    """One subscription, whose resources are these servers, whatever their names are."""

    def __init__(self, bus: ServiceBus, azurite: Azurite, sql: SqlServer) -> None:
        super().__init__(bus.model)
        self.bus, self.azurite, self.sql = bus, azurite, sql
        self.others: dict[str, dict[str, Any]] = {}
        """Resources that are not of Service Bus, by path in lower case."""

    def _route(self, call: Call) -> Answer:
        path = call.path.lower()
        if path == "/subscriptions":
            return Answer.of(200, {"value": [{"subscriptionId": SUBSCRIPTION, "state": "Enabled"}]})
        if path == f"/subscriptions/{SUBSCRIPTION}":
            return Answer.of(200, {"subscriptionId": SUBSCRIPTION, "state": "Enabled"})
        if path.endswith("/done"):
            return Answer.of(200, {"status": "Succeeded"})
        if found := _OTHER.fullmatch(call.path):
            return self._other(call, found["rest"].lower())
        answer = super()._route(call)
        if "/resourcegroups/" in path and path.count("/") == 4:
            if call.method == "DELETE":
                self.others = {each: body for each, body in self.others.items() if not each.startswith(f"{path}/")}
                return self._accepted("Location")
            if call.method == "PUT":
                self.model.group(*path.split("/")[2:5:2])["tags"] = call.json().get("tags") or {}
        if path.endswith("/rootmanagesharedaccesskey/listkeys"):
            keys = {"primaryKey": "primary-key", "secondaryKey": "secondary-key"}
            return Answer.of(200, {**keys, "primaryConnectionString": self.bus.connection_string})
        if path.endswith("/listen/listkeys"):
            self.model.put_rule(self.bus.namespace, "listen", ("Listen",))
            keys = {"primaryKey": "primary-listen", "secondaryKey": "secondary-listen"}
            return Answer.of(200, {**keys, "primaryConnectionString": self.bus.server.connection_string("listen")})
        return answer

    def _accepted(self, header: str) -> Answer:
        where = f"{self.url}/subscriptions/{SUBSCRIPTION}/operations/done?api-version=1"
        return Answer.of(202, {}, **{header.replace("-", "_"): where, "Retry_After": "0"})

    def _other(self, call: Call, rest: str) -> Answer:
        path = call.path.lower()
        if path.endswith("/listkeys"):
            return Answer.of(200, {"keys": [{"keyName": "key1", "value": KEY}]})
        if call.method == "DELETE":
            return Answer(200 if self.others.pop(path, None) is not None else 204)
        if call.method == "PUT":
            self.others[path] = self._made(call, rest)
            return self._accepted("Location" if rest.startswith("storage") else "Azure-AsyncOperation")
        if path not in self.others:
            return self.refusal(404, "ResourceNotFound", f"The resource '{path}' was not found.", {})
        return Answer.of(200, self.others[path])

    def _made(self, call: Call, rest: str) -> dict[str, Any]:
        """Do what creating a resource does to its server, and return what is shown of it."""
        given = call.json().get("properties") or {}
        if rest.startswith("storage"):
            shown = {"provisioningState": "Succeeded", "primaryEndpoints": {"blob": f"{self.azurite.endpoint}/"}}
            return {"name": ACCOUNT, "properties": shown}
        if "/databases/" in rest:
            self.sql.create_database("shop", cdc=False)
            return {"name": "shop", "properties": {"status": "Online"}}
        if "/firewallrules/" in rest:
            assert given["startIpAddress"] == given["endIpAddress"] == ADDRESS
            self.sql.allow_logins()
            return {"name": "try", "properties": {}}
        name, password = given["administratorLogin"], given["administratorLoginPassword"]
        self.sql.logins[name] = Login(name, password, db_owner=True)
        text = (
            f"Cannot open server 'shop' requested by the login. Client with IP address '{ADDRESS}' is not allowed to "
            "access the server."
        )
        self.sql.fail_login(40615, text, times=100, severity=14)
        return {"name": "shop", "properties": {"state": "Ready", "fullyQualifiedDomainName": "127.0.0.1"}}
