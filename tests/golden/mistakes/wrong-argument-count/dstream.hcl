locals {
  name  = "orders_cdc_events"
  parts = split(local.name)
  whole = replace(local.name, "_", "-", "all")
}

output "parts" {
  value = [local.parts, local.whole]
}
