# A counter to the console.
task "oci-counter-demo" {
  type = "providers"

  input {
    provider_path = "./dstream-counter-input-provider"
    config {
      interval = 10      # milliseconds between two numbers
      maxCount = 5       # the last number
    }
  }

  output {
    provider_path = "./dstream-console-output-provider"
    config {
      outputFormat = "simple"
    }
  }
}
