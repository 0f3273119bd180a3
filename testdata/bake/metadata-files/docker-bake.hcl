target "meta" {}
target "default" {
  inherits = ["meta"]
  context = "."
}
