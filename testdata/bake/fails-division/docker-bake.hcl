target "default" {
  args = { X = 1 / 0 }
}
