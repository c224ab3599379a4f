"""Service Bus without Azure: one store of namespaces and entities, and the planes that the real clients talk to.

    with service_bus() as azure:          # everything runs in this process, on free ports
        azure.arm.url                     # Azure Resource Manager (http)
        azure.model.namespace("shop")     # what really exists

Not the real service, and never compared with it: written from its documentation and from what the client libraries
expect.
"""
