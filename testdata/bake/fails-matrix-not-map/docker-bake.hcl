target "default" {
  name = "a"
  matrix = ["a"]
}
