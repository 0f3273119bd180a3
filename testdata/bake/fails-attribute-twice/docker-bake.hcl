target "default" {
  tags = ["x"]
  tags = ["y"]
}
