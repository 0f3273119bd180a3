target "default" {
  tags = ["hcl"]
  args = { B = "2" }
}
