task "orders" {
  input {
    provider = "counter"
    config {
      interval  = 500
      max_count = ["ten"]
    }
  }
  output {
    provider = "console"
  }
}
