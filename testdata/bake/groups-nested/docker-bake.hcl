group "default" { targets = ["all", "c"] }
group "all" {
  description = "both"
  targets = ["a", "b", "a"]
}
target "a" {}
target "b" {}
target "c" {}
