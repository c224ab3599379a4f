locals {
  tables = ["Orders", "Customers"]
}

task "copy" {
  for_each = local.tables

  input {
    provider = "counter"
    config {
      max_count = 5
    }
  }
  output {
    provider = "console"
  }
}
