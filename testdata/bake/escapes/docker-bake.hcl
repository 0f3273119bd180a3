target "default" {
  args = { A = "$${x}", B = "%%{y}", C = "<a&b>" }
  labels = { l = "$${x}" }
  annotations = ["a=$${x}"]
  dockerfile-inline = "FROM scratch\nENV A=$${B}\n"
}
