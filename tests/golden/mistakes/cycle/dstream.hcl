locals {
  queue = "${local.topic}-queue"
  topic = upper(local.prefix)

  prefix = substr(local.queue, 0, 3)
}

output "queue" {
  value = local.queue
}
