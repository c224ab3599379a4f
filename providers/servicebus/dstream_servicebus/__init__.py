"""Azure Service Bus for dstream: a queue or topic for each table as an output, queues as an input, and as resources."""
