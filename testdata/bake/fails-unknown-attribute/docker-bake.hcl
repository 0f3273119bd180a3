target "default" {
  tag = ["x"]
}
