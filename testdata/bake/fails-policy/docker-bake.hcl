target "default" {
  policy = [{ filename = "x.rego" }]
}
