variable "tenants" {
  type      = map(string)
  sensitive = true
  default   = { north = "n", south = "s" }
}

task "copy" {
  for_each = var.tenants

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
