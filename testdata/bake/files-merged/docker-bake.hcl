variable "TAG" { default = "a" }
target "default" {
  args = { A = TAG, B = "1" }
  tags = ["one"]
}
