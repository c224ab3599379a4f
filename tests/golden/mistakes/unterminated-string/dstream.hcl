locals {
  environment = "test
  tables      = ["Orders", "Customers"]
}

output "tables" {
  value = local.tables
}
