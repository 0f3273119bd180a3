target "default" {
  policy = ["x.rego"]
}
