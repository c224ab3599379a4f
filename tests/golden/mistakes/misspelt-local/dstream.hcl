locals {
  tables   = ["Orders", "Customers"]
  database = "shop"
}

task "orders" {
  input {
    provider = "counter"
    config {
      max_count = length(local.tabels)
    }
  }
  output {
    provider = "console"
  }
}
