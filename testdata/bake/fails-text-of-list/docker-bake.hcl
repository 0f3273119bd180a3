target "default" {
  tags = ["app:${["a"]}"]
}
