"""The Azure Service Bus provider: an output to a queue or topic per table, an input from queues, and resource types."""
