target "app" {
  name = "app-${v}"
  description = "app ${v}"
  matrix = { v = ["b", "a"] }
}
group "all" { targets = ["app", "one"] }
target "one" {}
