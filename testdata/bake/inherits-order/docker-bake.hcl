target "one" {
  args = { A = "1", B = "1" }
  tags = ["one"]
  annotations = ["a=1"]
  no-cache-filter = ["x"]
  output = ["type=docker"]
}
target "two" {
  args = { B = "2" }
  tags = ["two"]
  annotations = ["b=2", "a=1"]
  labels = { l = "2" }
}
target "default" {
  inherits = ["one", "two"]
  args = { C = "3" }
  no-cache-filter = ["y", "x"]
}
