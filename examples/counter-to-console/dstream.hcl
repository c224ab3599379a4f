# The smallest flow there is: a counter, shown on the console. Nothing to create, nothing to connect to.
#
#     dstream apply -auto-approve
#     dstream run count

variable "count" {
  type        = number
  default     = 5
  description = "How far to count; 0 never ends"
}

task "count" {
  input {
    provider = "counter"
    config {
      interval  = 100
      max_count = var.count
    }
  }
  output {
    provider = "console"
    config {
      output_format = "simple"
    }
  }
}
