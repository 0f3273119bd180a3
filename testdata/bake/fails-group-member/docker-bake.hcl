group "default" {
  targets = ["app", "tets"]
}
target "app" {}
target "test" {}
