# Nomad: rkt under the raw_exec driver, which every Nomad has; its own rkt driver was removed in 1.0. Not tried here.
job "web" {
  datacenters = ["dc1"]
  type        = "service"

  group "web" {
    restart {
      attempts = 3
      interval = "5m"
      delay    = "15s"
      mode     = "delay"
    }

    task "nginx" {
      driver = "raw_exec"

      config {
        command = "/usr/bin/rkt"
        args    = ["run", "--rm", "--net=host", "docker://registry.example.com/nginx:1.28", "--name=nginx"]
      }

      # Nomad sends this to rkt, which stops the pod in order.
      kill_signal  = "SIGTERM"
      kill_timeout = "30s"
    }
  }
}
