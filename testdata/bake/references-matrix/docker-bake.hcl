target "app" {
  name = "app-${v}"
  matrix = { v = ["a", "b"] }
  tags = ["app:${v}"]
}
target "default" { tags = concat(target.app-a.tags, target.app-b.tags) }
