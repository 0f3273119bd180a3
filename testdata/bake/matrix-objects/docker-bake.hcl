variable "ITEMS" {
  default = [{ name = "x", port = 80 }, { name = "y", port = 81 }]
}
target "app" {
  name = "app-${item.name}"
  matrix = { item = ITEMS }
  args = { PORT = item.port }
  tags = ["app:${item.name}"]
}
group "default" { targets = ["app"] }
