"""Service Bus without Azure: one store of namespaces and entities, and the planes that the real clients talk to.

    with service_bus() as bus:        # of `running`; everything in this process, on free ports
        bus.connection_string         # leads to messages (AMQP) and entities (https; `bus.environment` trusts it)
        bus.arm.url                   # Azure Resource Manager (http) over the same store
        bus.queues                    # what really exists
        bus.store("Orders").history   # every message that came in

Not the real service, and never compared with it: written from its documentation and from what the client libraries
expect. AMQP is spoken in Python alone (`amqp/`), since the library that could do it has to be compiled.
"""
