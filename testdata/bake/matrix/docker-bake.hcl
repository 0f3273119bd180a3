target "default" {
  name = "app-${tgt}-${replace(version, ".", "_")}"
  matrix = {
    tgt = ["lint", "test"]
    version = ["1.0", "2.0"]
  }
  target = tgt
  args = { V = version }
}
