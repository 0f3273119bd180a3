variable "TAG" { default = "b" }
target "default" {
  args = { B = "2" }
  tags = ["two"]
}
