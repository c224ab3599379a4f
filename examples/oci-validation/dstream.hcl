# The smallest flow, with both providers in container images: docker or podman runs them.
#
#     make -C ../.. images            # builds them, or name your own
#     dstream init && dstream apply -auto-approve && dstream run

variable "count" {
  type        = number
  default     = 5
  description = "How far to count; 0 never ends"
}

variable "images" {
  type        = string
  default     = "localhost/dstream-%s-image:dev"
  description = "Where the images are; %s stands for in-counter and out-console"
}

task "validate" {
  input {
    provider_image = format(var.images, "in-counter")
    container {
      network = "none"
      memory  = "256m"
      user    = "65534:65534"
    }
    config {
      interval  = 0
      max_count = var.count
    }
  }
  output {
    provider_image = format(var.images, "out-console")
    container {
      network = "none"
      memory  = "256m"
    }
    config {
      output_format = "json"
    }
  }
}
