group "default" {
  description = "first"
  targets = ["b", "a"]
}
target "a" { description = "the a" }
target "b" {}
target "_hidden" {}
