tagret "default" {
  tags = ["x"]
}
