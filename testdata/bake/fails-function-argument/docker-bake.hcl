target "default" {
  args = { X = join(",", "a") }
}
