locals {
  tables = ["Orders", "Customers"]
  topic  = uper(local.tables[0])
}

output "topic" {
  value = local.topic
}
