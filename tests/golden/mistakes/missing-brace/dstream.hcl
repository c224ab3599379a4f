task "orders" {
  input {
    provider = "counter"
    config {
      max_count = 10
    }
  output {
    provider = "console"
  }
}

locals {
  tables = ["Orders"]
}
