variable "prefix" {
  type    = string
  default = null
}

locals {
  queue = "${var.prefix}-orders"
  topic = upper(var.prefix)
}

output "names" {
  value = [local.queue, local.topic]
}
