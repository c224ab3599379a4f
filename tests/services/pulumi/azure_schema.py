"""The part of azure-native's schema that the stand-in has: resource groups and Service Bus.

Property names, required inputs and the `pulumi import` line of each description are those of azure-native 3.29.0.
"""

from __future__ import annotations

from typing import Any

VERSION = "3.29.0"
GROUP = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}"
SPACE = f"{GROUP}/providers/Microsoft.ServiceBus/namespaces/{{namespaceName}}"
TEXT, NUMBER, FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
TAGS = {"type": "object", "additionalProperties": TEXT}
SKU = {"$ref": "#/types/azure-native:servicebus:SBSku"}
MOVING = {"createdAt": TEXT, "updatedAt": TEXT, "accessedAt": TEXT, "sizeInBytes": {"type": "number"}}

QUEUE = {
    "autoDeleteOnIdle": TEXT, "deadLetteringOnMessageExpiration": FLAG, "defaultMessageTimeToLive": TEXT,
    "duplicateDetectionHistoryTimeWindow": TEXT, "enableBatchedOperations": FLAG, "enableExpress": FLAG,
    "enablePartitioning": FLAG, "forwardDeadLetteredMessagesTo": TEXT, "forwardTo": TEXT, "lockDuration": TEXT,
    "maxDeliveryCount": NUMBER, "maxMessageSizeInKilobytes": {"type": "number"}, "maxSizeInMegabytes": NUMBER,
    "requiresDuplicateDetection": FLAG, "requiresSession": FLAG, "status": TEXT, "userMetadata": TEXT,
}  # fmt: skip
TOPIC = {
    "autoDeleteOnIdle": TEXT, "defaultMessageTimeToLive": TEXT, "duplicateDetectionHistoryTimeWindow": TEXT,
    "enableBatchedOperations": FLAG, "enableExpress": FLAG, "enablePartitioning": FLAG,
    "maxMessageSizeInKilobytes": {"type": "number"}, "maxSizeInMegabytes": NUMBER, "requiresDuplicateDetection": FLAG,
    "status": TEXT, "supportOrdering": FLAG, "userMetadata": TEXT,
}  # fmt: skip
SUBSCRIPTION = {
    "autoDeleteOnIdle": TEXT, "deadLetteringOnFilterEvaluationExceptions": FLAG,
    "deadLetteringOnMessageExpiration": FLAG, "defaultMessageTimeToLive": TEXT, "enableBatchedOperations": FLAG,
    "forwardDeadLetteredMessagesTo": TEXT, "forwardTo": TEXT, "lockDuration": TEXT, "maxDeliveryCount": NUMBER,
    "requiresSession": FLAG, "status": TEXT, "userMetadata": TEXT,
}  # fmt: skip
NAMESPACE = {
    "location": TEXT, "sku": SKU, "tags": TAGS, "alternateName": TEXT, "disableLocalAuth": FLAG,
    "minimumTlsVersion": TEXT, "premiumMessagingPartitions": NUMBER, "publicNetworkAccess": TEXT,
    "zoneRedundant": FLAG,
}  # fmt: skip
TOP_LEVEL = frozenset({"location", "sku", "tags", "identity", "managedBy"})
"""Properties that Azure has beside `properties` in a body; all others are inside."""
FIXED = {
    "azure-native:servicebus:Queue": ("enablePartitioning", "requiresDuplicateDetection", "requiresSession"),
    "azure-native:servicebus:Topic": ("enablePartitioning", "requiresDuplicateDetection"),
    "azure-native:servicebus:Subscription": ("requiresSession",),
}
"""Properties whose change replaces, beside what is in the path and the location."""

RESOURCES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "azure-native:resources:ResourceGroup": (GROUP, {"location": TEXT, "managedBy": TEXT, "tags": TAGS}, {}),
    "azure-native:servicebus:Namespace": (
        SPACE,
        NAMESPACE,
        {"createdAt": TEXT, "updatedAt": TEXT, "provisioningState": TEXT, "serviceBusEndpoint": TEXT, "status": TEXT},
    ),
    "azure-native:servicebus:Queue": (f"{SPACE}/queues/{{queueName}}", QUEUE, {"location": TEXT, **MOVING}),
    "azure-native:servicebus:Topic": (f"{SPACE}/topics/{{topicName}}", TOPIC, {"location": TEXT, **MOVING}),
    "azure-native:servicebus:Subscription": (
        f"{SPACE}/topics/{{topicName}}/subscriptions/{{subscriptionName}}",
        SUBSCRIPTION,
        {"location": TEXT, **MOVING},
    ),
}
"""The path, the inputs beside those in the path, and the outputs beside the inputs, by token."""


def path_names(token: str) -> list[str]:
    """Return the names in a type's path, without the subscription."""
    return [part[1:-1] for part in RESOURCES[token][0].split("/") if part.startswith("{")][1:]


def schema() -> dict[str, Any]:
    """Return the package schema."""
    return {
        "name": "azure-native",
        "version": VERSION,
        "provider": {
            "inputProperties": {
                "subscriptionId": TEXT,
                "location": TEXT,
                "metadataHost": TEXT,
                "clientSecret": {"type": "string", "secret": True},
            }
        },
        "types": {
            "azure-native:servicebus:SBSku": {
                "type": "object",
                "properties": {"name": TEXT, "tier": TEXT, "capacity": NUMBER},
                "required": ["name"],
            }
        },
        "resources": {token: _resource(token) for token in RESOURCES},
    }


def _resource(token: str) -> dict[str, Any]:
    path, properties, outputs = RESOURCES[token]
    names, kind = path_names(token), token.rpartition(":")[2]
    fixed = {*names, *FIXED.get(token, ()), "location"}
    inputs = dict.fromkeys(names, TEXT) | properties
    always = {"azureApiVersion": TEXT, "name": TEXT, "type": TEXT}
    return {
        "description": f"A {kind}.\n\n## Import\n\n```sh\n$ pulumi import {token} sample {path}\n```\n",
        "inputProperties": {
            name: {**form, "willReplaceOnChanges": True} if name in fixed else form for name, form in inputs.items()
        },
        "requiredInputs": names[:-1],
        "properties": {**properties, **outputs, **always},
        "required": ["azureApiVersion", "name", "type"],
    }
